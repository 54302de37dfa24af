"""Every engine gives the reference's bits, on every case.

A new engine joins by its line in `fastkm.engines.ENGINES`.
"""

import hashlib
from itertools import chain

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, Case, Slices, gaussian, shapes

from fastkm import engines, lloyd, reference
from fastkm.engines.assignment import InOneArray
from fastkm.engines.base import Held
from fastkm.exactsum import ExactSum, expansion
from fastkm.kernels import most_threads


class ReferenceEngine(engines.InMemory):
    """The reference behind the interface of an engine, to judge `lloyd` alone."""

    def step(self, centers, moved=None):
        labels, _ = self.assign(centers)
        return self.sums(labels, len(centers))

    def assign(self, centers):
        return reference.assign(self.X, centers)

    def assignment(self, centers):
        return InOneArray(self, len(centers), *self.assign(centers))

    def sums(self, labels, n_clusters):
        sums, weights = reference.sum_clusters(self.X, labels, n_clusters, self.weights)
        totals = np.column_stack([sums, weights])
        everyone = np.ones(n_clusters, bool)
        exact = ExactSum(totals, 0 * totals, 0 * totals)
        return engines.Step(exact, len(labels), everyone)

    def inertia(self, distances):
        return reference.inertia(distances, self.weights)


class Halves:
    """An engine made of engines: two halves of the samples, joined by their Steps."""

    def __init__(self, make, X, weights, n_threads):
        middle = (len(X) + 1) // 2
        parts = [slice(0, middle), slice(middle, None)]
        self.parts = [
            make(X[part], None if weights is None else weights[part], n_threads)
            for part in parts
            if len(X[part])
        ]
        self.splits = [middle]
        self.whole = engines.InMemory(X, weights, n_threads)
        self.n_samples, self.n_features = X.shape

    def _join(self, steps):
        first, *rest = steps
        for step in rest:
            first = first.join(step)
        return first

    def step(self, centers, moved=None):
        return self._join([part.step(centers, moved) for part in self.parts])

    def squares(self, centers, moved):
        return self.whole.squares(centers, moved)

    def assign(self, centers):
        answers = [part.assign(centers) for part in self.parts]
        return tuple(np.concatenate(column) for column in zip(*answers, strict=True))

    def assignment(self, centers):
        return InOneArray(self, len(centers), *self.assign(centers))

    def undivided(self):
        return InOneArray(self, 1, np.zeros(self.n_samples, np.int32), np.empty(0))

    def sums(self, labels, n_clusters):
        pieces = np.split(labels, self.splits)
        return self._join(
            [
                part.sums(piece, n_clusters)
                for part, piece in zip(self.parts, pieces, strict=False)
            ]
        )

    def expansions(self, labels, cells):
        pieces = np.split(labels, self.splits)
        answers = [
            part.expansions(piece, cells)
            for part, piece in zip(self.parts, pieces, strict=False)
        ]
        return [list(chain(*parts)) for parts in zip(*answers, strict=True)]

    def inertia(self, distances):
        return self.whole.inertia(distances)

    def rows(self, indices):
        return self.whole.rows(indices)

    def positive(self):
        return self.whole.positive()


def in_chunks(X, weights, n_threads):
    """The engine for samples in chunks, with the engines that it would choose."""
    return engines.choose(Slices(X, 23), weights, 5, n_threads).engine


def in_parts(X, weights, n_threads):
    """The same, which keeps nothing about samples."""
    return engines.choose(
        Slices(X, 23), weights, 5, n_threads, keeps=engines.NOTHING
    ).engine


MAKERS = {
    **engines.ENGINES,
    "chunks": in_chunks,
    "parts": in_parts,
    "reference": ReferenceEngine,
    "two passes": engines.Lanes,  # however few the features
    "halves": lambda *arguments: Halves(engines.Lanes, *arguments),
}

every_engine = pytest.mark.parametrize("engine", MAKERS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
every_special = pytest.mark.parametrize("special", SPECIAL)
some_threads = pytest.mark.parametrize("n_threads", [1, 2, 3, 8])


def same(fast, slow):
    """Same dtype, shape and bits."""
    fast, slow = np.asarray(fast), np.asarray(slow)
    assert fast.dtype == slow.dtype
    assert fast.shape == slow.shape
    np.testing.assert_array_equal(fast, slow)
    assert fast.tobytes() == slow.tobytes() or not fast.dtype.kind == "f"


def digest(value):
    """What tells arguments apart; arrays by their bits."""
    if not isinstance(value, np.ndarray):
        return value
    bits = hashlib.sha256(np.ascontiguousarray(value)).digest()
    return value.dtype.str, value.shape, bits


RESULTS = {}


def once(function, *arguments, **options):
    """Call the reference, or give what it gave: all engines and threads ask the same.

    `same` and `column_stack` leave it as it is.
    """
    names = tuple((name, digest(value)) for name, value in options.items())
    key = (function, *map(digest, arguments), names)
    if key not in RESULTS:
        RESULTS[key] = function(*arguments, **options)
    return RESULTS[key]


def check_step(make, case: Case, n_threads: int = 2) -> None:
    """`step` and `assign`, from the given centers and once more from others."""
    check_step_of(make(case.X, case.weights, n_threads), case)


def check_step_of(engine, case: Case) -> None:
    """The same, of an engine that holds the samples already."""
    for centers in (case.centers, case.centers[::-1].copy(), case.centers):
        labels, sums, weights = once(reference.step, case.X, centers, case.weights)
        slow_labels, slow_distances = once(reference.assign, case.X, centers)
        fast_labels, fast_distances = engine.assign(centers)
        same(fast_labels, slow_labels)
        same(fast_distances, slow_distances)
        totals = lloyd.exact_totals(engine, engine.step(centers), labels)
        same(totals, np.column_stack([sums, weights]))
        same(
            engine.inertia(fast_distances),
            reference.inertia(slow_distances, case.weights),
        )


def check_run(
    make, case: Case, n_threads: int = 2, tol: float = 0.0, frozen=None
) -> None:
    """A whole run."""
    check_run_of(make(case.X, case.weights, n_threads), case, tol, frozen)


def check_run_of(engine, case: Case, tol: float = 0.0, frozen=None) -> None:
    """The same, of an engine that holds the samples already."""
    slow = once(reference.kmeans, *case, max_iter=30, tol=tol, frozen=frozen)
    threshold = tol * lloyd.mean_variance(engine) if tol else 0.0
    rule = lloyd.Rule(frozen=frozen)
    fast = lloyd.lloyd(
        engine, case.centers, max_iter=30, threshold=threshold, rule=rule
    )
    same(fast.centers, slow.centers)
    same(
        fast.labels if len(fast.labels) else engine.assign(fast.centers)[0], slow.labels
    )
    same(fast.inertia, slow.inertia)
    assert (fast.n_iter, fast.stop) == (slow.n_iter, slow.stop)


def check_long_runs(make, X, n_clusters: int, n_threads: int) -> None:
    """Runs in which centers come to rest one by one, without and with weights."""
    init = X[:n_clusters].copy()
    check_run(make, Case(X, init, None), n_threads)
    weights = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    check_run(make, Case(X, init, weights), n_threads)


@every_dtype
@pytest.mark.parametrize("shape", shapes(), ids=lambda s: "x".join(map(str, s)))
def test_step_on_every_shape(shape, dtype):
    case = gaussian(*shape, dtype)
    for make in (*engines.ENGINES.values(), engines.Lanes):
        check_step(make, case)


@every_dtype
@pytest.mark.parametrize(
    "shape",
    [(n, d, k) for n, d, k in shapes() if n in (2, 65, 257) and d in (1, 2, 9, 33)],
    ids=lambda s: "x".join(map(str, s)),
)
def test_run_on_shapes(shape, dtype):
    for make in MAKERS.values():
        check_run(make, gaussian(*shape, dtype), tol=1e-4)


@every_engine
@every_dtype
@every_special
def test_step_on_special_cases(engine, special, dtype):
    check_step(MAKERS[engine], SPECIAL[special](dtype))


@every_engine
@every_dtype
@every_special
@pytest.mark.parametrize("tol", [0.0, 1e-3])
def test_run_on_special_cases(engine, special, dtype, tol):
    check_run(MAKERS[engine], SPECIAL[special](dtype), tol=tol)


@every_engine
@every_dtype
@every_special
def test_run_with_frozen_centers(engine, special, dtype):
    case = SPECIAL[special](dtype)
    for first in (0, 1):
        frozen = np.zeros(len(case.centers), bool)
        frozen[first::2] = True
        check_run(MAKERS[engine], case, frozen=frozen)


@some_threads
@every_dtype
@every_special
@pytest.mark.parametrize("engine", [*engines.ENGINES, "chunks"])
def test_threads_do_not_matter(engine, special, dtype, n_threads, monkeypatch):
    """Every sample is worth a thread, so that small cases are split too."""
    monkeypatch.setattr(
        Held, "n_chunks", lambda self, work: min(n_threads, self.n_samples)
    )
    assert most_threads() >= n_threads
    case = SPECIAL[special](dtype)
    check_step(MAKERS[engine], case, n_threads)
    check_run(MAKERS[engine], case, n_threads)


@some_threads
@every_dtype
@every_special
def test_nearest_centers(special, dtype, n_threads, monkeypatch):
    monkeypatch.setattr(
        Held, "n_chunks", lambda self, work: min(n_threads, self.n_samples)
    )
    X, centers, _ = SPECIAL[special](dtype)
    samples = engines.Lanes(X, None, n_threads)
    for n_nearest in {1, (len(centers) + 1) // 2, len(centers)}:
        slow_labels, slow_distances = reference.nearest_centers(X, centers, n_nearest)
        fast_labels, fast_distances = samples.nearest(centers, n_nearest)
        same(fast_labels, slow_labels)
        same(fast_distances, slow_distances)


@pytest.mark.parametrize("engine", [*engines.ENGINES, "chunks"])
def test_sums_by_difference_stay_exact(engine, rng):
    """Hundreds of steps between random centers, against sums made anew."""
    X = (rng.normal(size=(300, 3)) * 10.0 ** rng.integers(-8, 8, (300, 1))).astype("f4")
    walker = MAKERS[engine](X, None, 2)
    for _ in range(300):
        centers = X[rng.permutation(300)[:6]]
        labels, sums, weights = reference.step(X, centers)
        totals = lloyd.exact_totals(walker, walker.step(centers), labels)
        same(totals, np.column_stack([sums, weights]))


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_changes_are_counted_where_sums_round(engine, rng):
    """Sums with slack are made anew in every step, but the labels are not new."""
    X = rng.normal(size=(300, 3)) * 10.0 ** rng.integers(-30, 30, (300, 1))
    walker = MAKERS[engine](X, None, 2)
    before = np.full(300, -1, np.int32)
    for _ in range(20):
        centers = X[rng.permutation(300)[:6]]
        step, labels = walker.step(centers), reference.assign(X, centers)[0]
        assert step.totals.slack.any()
        assert step.n_changed == (labels != before).sum()
        before = labels


def check_told_steps(make, X, n_clusters: int, rng) -> None:
    """Steps that know which centers moved, some that do not, others' centers between.

    On a lattice: sums are certain, distances tie.
    """
    X = np.round(8 * X) / 8
    walker, before = make(X, None, 2), X[:n_clusters]
    for turn in range(12):
        stays = rng.random((n_clusters, 1)) < (0.2, 0.6, 0.9)[turn % 3]
        centers = np.where(stays, before, X[rng.integers(0, len(X), n_clusters)])
        moved = (centers != before).any(axis=1) if turn % 5 else None
        step = walker.step(centers, moved)
        labels, _ = reference.assign(X, centers)
        totals, uncertain = step.totals.rounded()
        same(totals, np.column_stack(reference.sum_clusters(X, labels, n_clusters)))
        assert not uncertain.any()
        if turn % 4 == 3:
            others = X[rng.integers(0, len(X), n_clusters)]
            same(walker.assign(others)[0], reference.assign(X, others)[0])
        before = centers


@every_dtype
@every_engine
def test_steps_that_are_told_what_moved(engine, dtype, rng):
    X = 3 * rng.normal(size=(400, 5)).astype(dtype)
    check_told_steps(MAKERS[engine], X, 9, rng)


@every_dtype
def test_slow_road_is_taken(dtype):
    """Sums within the slack of a rounding boundary occur, and are settled."""
    case = SPECIAL["halfway_sums"](dtype)
    step = engines.Lanes(case.X, case.weights, 1).step(case.centers)
    assert step.totals.rounded()[1].tolist() == [[True, False, True, False]]


def test_expansions_of_parts_settle_the_whole(rng):
    terms = rng.normal(size=400) * 10.0 ** rng.integers(-200, 200, 400)
    parts = expansion(terms[:150]) + expansion(terms[150:])
    assert reference.exact_sum(parts) == reference.exact_sum(terms)


@every_dtype
@pytest.mark.parametrize("shape", [(3, 4), (40, 60), (90, 300)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_movement_is_the_references(shape, share, dtype, rng):
    """Whether NumPy or an engine squares it; of some centers, of all, of none."""
    centers = rng.normal(size=shape).astype(dtype)
    stays = rng.random((len(centers), 1)) >= share
    moved = np.where(stays, centers, (centers * 1.01).astype(dtype))
    for engine in (None, engines.Lanes(centers, None, 2)):
        shift, changed = lloyd.movement(centers, moved, engine)
        assert shift == reference.movement(centers, moved)
        same(changed, ~stays.ravel())
