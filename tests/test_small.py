"""Whole fits in one kernel: same bits as the reference, alone and many at once."""

import math

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, gaussian, shapes
from hypothesis import given
from hypothesis import strategies as st
from test_contract import same

import fastkm
from fastkm import engines, kmeans, kmeans_many, reference, small
from fastkm.kernels import small as kernel
from fastkm.kernels._jit import serial
from fastkm.kernels.tiles import DEPTH
from fastkm.kernels.vectors import GROUP

SEEDINGS = {
    "k-means++": reference.kmeans_plusplus,
    "k-means||": reference.kmeans_parallel,
    "random": reference.random_samples,
    "farthest": reference.farthest_first,
}
every_init = pytest.mark.parametrize("init", SEEDINGS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def slow_fit(X, n_clusters, init, rng, weights=None, **options):
    """The reference's seeding and iteration."""
    chosen = SEEDINGS[init](X, n_clusters, rng, weights)
    return reference.kmeans(X, X[chosen], weights, **options)


def check(X, n_clusters, init, seed=0, weights=None, n_runs=3, **options):
    """Runs of one problem, one after the other with one generator."""
    runs = kmeans_many(
        X, n_clusters, n_runs=n_runs, init=init, sample_weight=weights,
        random_state=seed, **options,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    for b in range(n_runs):
        slow = slow_fit(X, n_clusters, init, rng, weights, **options)
        same(runs.centers[b], slow.centers)
        same(runs.labels[b], slow.labels)
        same(runs.inertia[b], slow.inertia)
        assert runs.n_iter[b] == slow.n_iter


@pytest.fixture
def left(monkeypatch):
    """Problems that the kernel left."""
    seen = []
    general = small._fit

    def fit(samples, *arguments):
        seen.append(samples)
        return general(samples, *arguments)

    monkeypatch.setattr(small, "_fit", fit)
    return seen


@every_init
@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.filterwarnings("ignore::fastkm.ConvergenceWarning")
def test_special_cases(special, init, dtype):
    case = SPECIAL[special](dtype)
    check(case.X, len(case.centers), init, weights=case.weights)
    result = kmeans(
        case.X, len(case.centers), init=case.centers, sample_weight=case.weights, tol=0
    )
    slow = reference.kmeans(case.X, case.centers, case.weights, tol=0)
    same(result.centers, slow.centers)
    same(result.labels, slow.labels)
    assert (result.inertia, result.n_iter) == (slow.inertia, slow.n_iter)


@every_init
@every_dtype
@pytest.mark.parametrize(
    "shape",
    [(n, d, k) for n, d, k in shapes() if d in (1, 2, 9) and k < 64],
    ids=lambda s: "x".join(map(str, s)),
)
def test_shapes(shape, init, dtype):
    check(gaussian(*shape, dtype).X, shape[2], init, n_runs=2)


@every_init
@pytest.mark.parametrize("tol", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize("max_iter", [1, 2, 300])
def test_stops(init, tol, max_iter, rng):
    X = rng.normal(size=(200, 3))
    weights = rng.gamma(1.0, size=200)
    check(X, 6, init, tol=tol, max_iter=max_iter, n_runs=8)
    check(X, 6, init, tol=tol, max_iter=max_iter, weights=weights, n_runs=8)


@every_init
@pytest.mark.filterwarnings("ignore::fastkm.ConvergenceWarning")
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-300, 1e-20, 1.0, 1e6, 1e140]),
    on_lattice=st.booleans(),
    weighted=st.booleans(),
)
def test_any_problem(init, seed, scale, on_lattice, weighted):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(int(rng.integers(2, 40)), int(rng.integers(1, 4))))
    X = (np.round(X) if on_lattice else X) * scale
    weights = rng.integers(0, 3, len(X)) + 1e-12 * rng.random() if weighted else None
    check(X, int(rng.integers(1, len(X) + 1)), init, seed, weights)


@every_init
def test_ordinary_problems_are_not_left(init, left, rng):
    """Else all of this would be for nothing."""
    blobs = rng.normal(size=(300, 2)) + 5 * rng.integers(0, 3, size=(300, 1))
    kmeans_many(blobs, 3, n_runs=200, init=init, random_state=0)
    weights = rng.gamma(1.0, size=300)
    kmeans_many(blobs, 3, n_runs=200, init=init, sample_weight=weights, random_state=0)
    assert not left


@every_init
def test_too_few_distinct_samples_are_told(init, left):
    with pytest.warns(fastkm.ConvergenceWarning, match="2 of 2 runs found fewer"):
        kmeans_many(np.zeros((9, 2)), 3, n_runs=2, init=init, random_state=0)
    assert len(left) == 2


def test_runs_are_those_of_kmeans(rng):
    X = rng.normal(size=(150, 4)).astype("f4")
    options = {"init": "k-means++", "n_init": 6, "random_state": 1}
    result = kmeans(X, 7, **options)
    slow = kmeans(X, 7, engine="tiles", **options)
    assert (result.report.engine, slow.report.engine) == ("small", "tiles")
    same(result.centers, slow.centers)
    same(result.labels, slow.labels)
    ours, theirs = vars(result.report), vars(slow.report)
    for name in ("inertias", "best_run", "stop", "shifts", "n_changed", "n_empty"):
        assert ours[name] == theirs[name]
    runs = kmeans_many(X, 7, n_runs=6, random_state=1)
    assert runs.inertia.tolist() == result.report.inertias


def test_restarts_keep_the_history_of_the_best(rng):
    """And of no other, or of those that were the best for a while."""
    X = rng.normal(size=(150, 2))
    for seed in range(20):
        few = kmeans(X, 5, n_init=9, init="random", random_state=seed)
        slow = kmeans(X, 5, n_init=9, init="random", random_state=seed, engine="lanes")
        same(few.labels, slow.labels)
        assert few.report.best_run == slow.report.best_run
        assert few.report.shifts == slow.report.shifts
        assert few.report.n_changed == slow.report.n_changed
        assert len(few.report.shifts) == few.n_iter


def test_a_run_longer_than_its_history_is_left(left, monkeypatch, rng):
    monkeypatch.setattr(small, "LONGEST", 3)
    X = rng.normal(size=(300, 2))
    result = kmeans(X, 9, random_state=0, tol=0)
    assert left and result.n_iter == len(result.report.shifts) > 3
    same(result.labels, kmeans(X, 9, random_state=0, tol=0, engine="lanes").labels)


@every_init
@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_many_data_sets(init, dtype, n_threads, monkeypatch, rng):
    """Ragged ones, some with weights, one of them not small."""
    monkeypatch.setattr(small, "MOST_TERMS", 2**16)
    monkeypatch.setattr(
        engines.InMemory, "n_chunks", lambda self, work: min(n_threads, self.n_samples)
    )
    sizes = [40, 7, 7000, 130, 7]
    problems = [rng.normal(size=(n, 2)).astype(dtype) for n in sizes]
    weights = [None, rng.gamma(1.0, size=7), None, None, np.ones(7)]
    runs = kmeans_many(problems, 5, init=init, sample_weight=weights, random_state=2)
    again = np.random.default_rng(2)
    for b, (X, some) in enumerate(zip(problems, weights, strict=True)):
        slow = kmeans(X, 5, init=init, n_init=1, sample_weight=some, random_state=again)
        same(runs.centers[b], slow.centers)
        same(runs.labels[b], slow.labels)
        assert (runs.inertia[b], runs.n_iter[b]) == (slow.inertia, slow.n_iter)


@every_dtype
def test_more_features_and_clusters_than_a_tile_holds(dtype, rng):
    X = rng.normal(size=(37, DEPTH + 3)).astype(dtype)
    check(X, 2 * GROUP + 1, "k-means++")


def test_calls_for_batches_of_problems(monkeypatch, rng):
    """Each waits for Ctrl-C in its turn."""
    X = rng.normal(size=(100, 3))
    whole = kmeans_many(X, 4, n_runs=7, random_state=0)
    calls = []
    monkeypatch.setattr(small, "BATCH", 3 * X.size * 4)
    iterate_all = kernel.iterate_all
    monkeypatch.setattr(
        kernel, "iterate_all", lambda *a: calls.append(a) or iterate_all(*a)
    )
    same(kmeans_many(X, 4, n_runs=7, random_state=0).labels, whole.labels)
    assert len(calls) == 3


def test_equal_data_sets_give_arrays(rng):
    X = rng.normal(size=(6, 50, 3))
    runs = kmeans_many(X, 4, random_state=0)
    assert (runs.centers.shape, runs.labels.shape) == ((6, 4, 3), (6, 50))
    assert runs.inertia.shape == runs.n_iter.shape == (6,)


def test_centers_for_all_and_for_each(rng):
    X = rng.normal(size=(50, 3))
    each = X[rng.permutation(50)[:12]].reshape(3, 4, 3)
    runs = kmeans_many(X, 4, n_runs=3, init=each)
    for b in range(3):
        same(runs.labels[b], kmeans(X, 4, init=each[b]).labels)
    runs = kmeans_many([X, X[:20]], 4, init=each[0].tolist())
    same(runs.labels[1], kmeans(X[:20], 4, init=each[0]).labels)
    before = each.copy()
    kmeans_many(X, 4, n_runs=3, init=each)
    same(each, before)


def test_a_callable_draws_for_every_run(rng):
    def init(X, n_clusters, random_state):
        return X[random_state.choice(len(X), n_clusters, replace=False)]

    X = rng.normal(size=(50, 3))
    runs = kmeans_many(X, 4, n_runs=5, init=init, random_state=3)
    again = np.random.default_rng(3)
    for labels in runs.labels:
        one = kmeans(X, 4, init=init, n_init=1, random_state=again, engine="lanes")
        same(labels, one.labels)


def test_drawing_is_certain_or_refused(rng):
    """Against exact sums, with thresholds at and near the prefix sums."""
    values = rng.gamma(0.2, size=50)
    values[::9] = 0
    prefixes = values.cumsum()
    for threshold in [*prefixes, *np.nextafter(prefixes, 0), *rng.random(200) * 9, 0.0]:
        found = kernel.drawn(prefixes, threshold)
        if found >= 0:
            assert found == reference.draw(values, threshold)
    assert kernel.drawn(prefixes, prefixes[20]) == -1
    assert kernel.drawn(prefixes, prefixes[-1] * 1.1) == -1
    assert kernel.drawn(prefixes, 0.5 * prefixes[20] + 0.5 * prefixes[19]) == 20


@serial
def extraction(columns, weights, powers):
    return kernel.extraction(columns, weights, powers)


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-320, 1e-300, 1e-9, 1.0, 1e140]),
    spread=st.sampled_from([0, 1, 6]),
)
def test_plain_sums_of_extracted_parts_are_exact(seed, scale, spread):
    """Of a subset of the samples, in any order, with some taken out again."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(int(rng.integers(1, 60)), 2)) * scale
    X *= 10.0 ** -rng.integers(0, spread + 1, size=X.shape)
    weights, powers = rng.gamma(1.0, size=len(X)), np.empty(3)
    assert extraction(np.ascontiguousarray(X.T), weights, powers)
    totals = np.zeros((2, 1, 3))
    for i in rng.permutation(len(X)):
        kernel.add_parts(X, i, weights[i], 1.0, powers, totals, 0)
    for i in range(len(X) // 2):
        kernel.add_parts(X, i, weights[i], -1.0, powers, totals, 0)
    rest = slice(len(X) // 2, None)
    terms = np.column_stack([weights[:, None] * X, weights])[rest]
    assert totals.sum(axis=0)[0].tolist() == [math.fsum(column) for column in terms.T]


def test_terms_of_far_apart_sizes_are_not_extracted():
    """What the two parts do not hold is told, and what overflows."""
    weights, powers = np.ones(3), np.empty(2)
    for values, is_exact in [
        ([1e30, 1.0, 2.0], True),
        ([1e30, 1.0 + 2.0**-52, 2.0], False),
        ([1e308, 1.0, 0.0], False),
        ([0.0, 0.0, 0.0], True),
        ([0.0, 4.0, -4.0], True),
    ]:
        columns = np.array([values])
        assert extraction(columns, weights, powers) == is_exact
    assert powers.tolist() == [32.0, 8.0]  # of 5 times 4, and of 5 times a weight of 1


WRONG = {
    "no sequence": (3, {}, "X=3 must be a sequence of arrays"),
    "nothing": ([], {}, "X is empty"),
    "one array": (np.ones((5, 2)), {}, "data set 0 of X (to cluster one array many"),
    "NaN": ([np.ones((5, 2)), [[0, 1], [2, np.nan]]], {}, "data set 1 of X"),
    "features": ([np.ones((5, 2)), np.ones((5, 3))], {}, "data set 1 of X has 3 feat"),
    "dtypes": ([np.ones((5, 2)), np.ones((5, 2), "f4")], {}, "of float32"),
    "few samples": ([np.ones((5, 2)), np.ones((1, 2))], {}, "n_samples=1 should be"),
    "weights": ([np.ones((5, 2))] * 2, {"sample_weight": [None]}, "has 1 entries"),
    "runs": (np.ones((5, 2)), {"n_runs": 0}, "n_runs=0 must be at least 1"),
    "init": (np.ones((5, 2)), {"n_runs": 3, "init": np.ones((2, 2, 2))}, "for 2 runs"),
    "center": (np.ones((5, 2)), {"n_runs": 3, "init": np.ones((3, 2))}, "The shape of"),
    "tol": (np.ones((5, 2)), {"n_runs": 3, "tol": -1}, "tol=-1"),
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_input(what):
    X, options, words = WRONG[what]
    with pytest.raises(ValueError) as caught:
        fastkm.kmeans_many(X, 2, **options)
    assert words in str(caught.value)
