"""Seeding: same draws and same bits as the reference."""

import math

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, Slices, gaussian
from hypothesis import given
from hypothesis import strategies as st
from test_contract import once

from fastkm import engines, farthest_first, kmeans_plusplus, reference, seeding
from fastkm.engines import images, sketch
from fastkm.engines.basis import make_basis
from fastkm.engines.chosen import ChosenInMemory
from fastkm.engines.images import Choice
from fastkm.engines.sketch import Sketch
from fastkm.kernels import exact

REFERENCES = {
    "k-means++": reference.kmeans_plusplus,
    "k-means||": reference.kmeans_parallel,
    "random": reference.random_samples,
    "farthest": reference.farthest_first,
}
NOTHING = np.zeros(3)

every_init = pytest.mark.parametrize("init", REFERENCES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def chosen_by_reference(init, X, n_clusters, seed, weights):
    rng = np.random.default_rng(seed)
    return REFERENCES[init](X, n_clusters, rng, weights).tolist()


@pytest.fixture(autouse=True, scope="module")
def few_are_many():
    """Few samples take the road of many, but where a test says otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch, "FEW_TERMS", 0)
        yield


def check(init, X, n_clusters, weights, n_threads=2):
    for seed in range(5):
        slow = once(chosen_by_reference, init, X, n_clusters, seed, weights)
        for samples in (
            engines.Lanes(X, weights, n_threads),
            engines.Chunked(Slices(X, 41), weights, n_threads),
            engines.Chunked(Slices(X, 41), weights, n_threads, keeps=engines.NOTHING),
        ):
            rng = np.random.default_rng(seed)
            fast = seeding.CHOOSERS[init](samples, n_clusters, rng)
            assert fast.tolist() == slow


@every_init
@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
def test_same_samples_on_special_cases(init, special, dtype):
    case = SPECIAL[special](dtype)
    check(init, case.X, len(case.centers), case.weights)


@every_init
@every_dtype
@pytest.mark.parametrize(
    ("n", "d", "k"), [(1, 1, 1), (2, 3, 2), (65, 9, 65), (257, 17, 7), (2500, 2, 12)]
)
def test_same_samples_on_shapes(init, n, d, k, dtype):
    check(init, gaussian(n, d, 1, dtype).X, k, None)


def test_farthest_first_is_a_function(rng):
    X = rng.normal(size=(50, 3)).astype("f4")
    weights = rng.integers(0, 2, 50)
    centers, indices = farthest_first(X, 7, sample_weight=weights, random_state=3)
    again = reference.farthest_first(X, 7, np.random.default_rng(3), weights)
    assert indices.tolist() == again.tolist()
    assert centers.dtype == X.dtype and (centers == X[indices]).all()
    with pytest.raises(ValueError, match="n_clusters=0"):
        farthest_first(X, 0)


@every_init
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_threads_do_not_matter(init, n_threads, monkeypatch):
    monkeypatch.setattr(
        engines.InMemory, "n_chunks", lambda self, work: min(n_threads, self.n_samples)
    )
    X = gaussian(3000, 5, 1, np.float64).X
    check(init, X, 9, None, n_threads)
    check(init, X, 9, np.random.default_rng(1).gamma(0.3, size=3000), n_threads)


def flat(n, d, dtype, offset=0.0):
    """Samples near a plane of three dimensions."""
    rng = np.random.default_rng(3)
    X = 5 * rng.normal(size=(n, 3)) @ rng.normal(size=(3, d))
    return (X + 0.1 * rng.normal(size=(n, d)) + offset).astype(dtype)


def with_ties(n, dtype):
    """A lattice in a few of 12 dimensions, and an outlier that swamps the sums."""
    X = np.random.default_rng(4).integers(0, 3, size=(n, 12)).astype(dtype)
    X[:, 3:] = 0
    X[n // 2] = 1e9
    return X


def images_of(kind):
    """Half of the features or directions; and how many of these are looked at first."""

    def choose(X, shift, *_):
        half, order = (len(shift) + 1) // 2, np.argsort(-X.var(axis=0))
        if kind == "features":
            return Choice(half, order)
        lead = max(1, half // 2) if kind == "a closer look" else half
        return Choice(lead, order, make_basis(X - shift, half))

    return choose


KINDS = ["features", "directions", "a closer look"]


@every_init
@every_dtype
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("special", SPECIAL)
def test_same_samples_from_some_images(init, special, kind, dtype, monkeypatch):
    monkeypatch.setattr(sketch, "repays", lambda *_: True)
    monkeypatch.setattr(sketch, "choose_images", images_of(kind))
    case = SPECIAL[special](dtype)
    check(init, case.X, len(case.centers), case.weights)


@pytest.mark.parametrize("repays", [True, False], ids=["sketch", "no sketch"])
@pytest.mark.parametrize("init", ["k-means++", "farthest"])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "X",
    [
        flat(2600, 40, np.float32),
        flat(2600, 40, np.float64),
        flat(2600, 40, np.float32, offset=1e4),
        flat(1500, 13, np.float64) * 1e-200,
        flat(1500, 13, np.float64) * 1e140,
        with_ties(3000, np.float32),
        with_ties(3000, np.float64),
        gaussian(1030, 33, 1, np.float32).X,
        np.repeat(gaussian(40, 5, 1, np.float64).X, 60, axis=0),
    ],
    ids=lambda X: f"{X.dtype}-{X.shape[1]}-{X.max():.0e}",
)
def test_same_samples_in_several_blocks(init, X, n_threads, repays, monkeypatch):
    monkeypatch.setattr(sketch, "repays", lambda *_: repays)
    monkeypatch.setattr(
        engines.InMemory, "n_chunks", lambda self, work: min(n_threads, self.n_samples)
    )
    weights = np.random.default_rng(1).gamma(0.3, size=len(X))
    weights[::7] = 0
    for some in (None, weights):
        samples, rng = engines.Lanes(X, some, n_threads), np.random.default_rng(2)
        slow = once(chosen_by_reference, init, X, 12, 2, some)
        assert seeding.CHOOSERS[init](samples, 12, rng).tolist() == slow


def test_a_sketch_is_made_where_it_pays(monkeypatch):
    monkeypatch.setattr(sketch, "FEW_TERMS", 27e6)
    X = gaussian(2000, 50, 1, np.float32).X
    for some, n_clusters, n_trials, repays in [
        (X, 20, 4, False),
        (X, 50, 5, True),
        (X[:, :8], 20, 4, True),
        (np.repeat(X, 10, axis=0), 20, 4, True),
        (np.repeat(X, 10, axis=0), 10, 4, True),
        (np.repeat(X, 10, axis=0), 4, 3, False),
    ]:
        samples = engines.Lanes(np.ascontiguousarray(some), None, 1)
        made = sketch.make_sketch(samples, n_clusters, n_trials)
        assert isinstance(made, Sketch) == repays


@every_dtype
def test_images_are_chosen_that_pay(dtype, monkeypatch):
    near_plane, anywhere = flat(2000, 60, dtype), gaussian(2000, 60, 1, dtype).X
    few = Sketch(engines.Lanes(near_plane, None, 1), 50, 5)
    assert few.packed.size == 2000 * 60  # to find out would take longer
    monkeypatch.setattr(images, "PILOT", 0)
    monkeypatch.setattr(images, "PER_FEATURE", 0)
    assert Sketch(engines.Lanes(near_plane, None, 1), 50, 5).packed.size <= 2000 * 10
    assert Sketch(engines.Lanes(anywhere, None, 1), 50, 5).packed.size == 2000 * 60
    some = gaussian(2000, 300, 1, dtype).X * np.repeat([1, 0.01], [120, 180])
    made = Sketch(engines.Lanes(some.astype(dtype), None, 1), 50, 5)
    assert made.packed.size == 2000 * 130 and made.own_reaches.size == 1
    many = Sketch(engines.Lanes(flat(2000, 400, dtype), None, 1), 500, 8)
    assert many.closer.shape == (2000, images.WIDE)


@every_dtype
@pytest.mark.parametrize("kind", ["all", *KINDS])
@pytest.mark.parametrize("special", SPECIAL)
def test_no_candidate_leaves_less_than_its_bound(special, kind, dtype, monkeypatch):
    """Bounds on what candidates leave, against exact sums of exact distances."""
    monkeypatch.setattr(sketch, "repays", lambda *_: True)
    if kind != "all":
        monkeypatch.setattr(sketch, "choose_images", images_of(kind))
    X, _, weights = SPECIAL[special](dtype)[:3]
    some = np.arange(0, len(X), max(1, len(X) // 20))
    for some_weights in (weights, np.random.default_rng(1).gamma(0.3, size=len(X))):
        chosen = ChosenInMemory(engines.Lanes(X, some_weights, 1), int(some[-1]), 20, 4)
        for candidates in filter(len, (some[:4], some[4:8], some[8:])):
            chosen.potentials(candidates)
            least = chosen._least()
            distances = reference.squared_distances(X, X[candidates])
            left = np.minimum(distances, chosen.nearest[:, None])
            for t, column in enumerate(left.T):
                assert least[t] <= reference.inertia(column, some_weights)
            chosen.potentials(candidates)
            chosen.choose(0)


@every_dtype
@pytest.mark.parametrize("given", [False, True], ids=["alike", "weights"])
def test_few_candidates_are_measured(given, dtype, monkeypatch):
    """Most are known not to be best from sketches as exact as these."""
    X = gaussian(4000, 12, 1, dtype).X
    weights = np.random.default_rng(1).uniform(0.9, 1.1, len(X)) if given else None
    measured = []
    find = ChosenInMemory._find
    monkeypatch.setattr(
        ChosenInMemory,
        "_find",
        lambda self, places, kept: (
            measured.append(len(places)) or find(self, places, kept)
        ),
    )
    fast = seeding.plusplus(
        engines.Lanes(X, weights, 1), 20, np.random.default_rng(0), 6
    )
    slow = reference.kmeans_plusplus(
        X, 20, np.random.default_rng(0), weights, n_local_trials=6
    )
    assert fast.tolist() == slow.tolist()
    assert sum(measured) < 19 * 6 / 2


def test_a_sum_whose_largest_term_goes_away():
    """What an outlier hid of the sums of its block must come back."""
    X = np.random.default_rng(5).normal(size=(1500, 3))
    X[700] = 1e18
    check("k-means++", X, 6, None)
    check("k-means++", X, 6, 10.0 ** np.random.default_rng(6).integers(-9, 9, 1500))


@every_init
@pytest.mark.parametrize("weight", [1.0, 0.25, 7.0])
def test_equal_weights_are_no_weights(init, weight):
    X = gaussian(200, 3, 1, np.float64).X
    samples = engines.Lanes(X, None, 1)
    weighted = engines.Lanes(X, np.full(200, weight), 1)
    plain = seeding.CHOOSERS[init](samples, 6, np.random.default_rng(3))
    same = seeding.CHOOSERS[init](weighted, 6, np.random.default_rng(3))
    assert plain.tolist() == same.tolist()


@pytest.mark.parametrize("n_local_trials", [1, 2, 5])
def test_kmeans_plusplus_trials(n_local_trials, rng):
    X = rng.normal(size=(500, 4))
    centers, indices = kmeans_plusplus(
        X, 8, n_local_trials=n_local_trials, random_state=5
    )
    slow = reference.kmeans_plusplus(
        X, 8, np.random.default_rng(5), n_local_trials=n_local_trials
    )
    assert indices.tolist() == slow.tolist()
    assert np.array_equal(centers, X[indices])


def drawn(terms, totals, block, threshold):
    """Draw twice in one call."""
    indices = np.empty(2, np.int64)
    thresholds = np.full(2, threshold)
    exact.draw(terms, np.ones(1), totals, block, NOTHING, thresholds, indices)
    assert indices[0] == indices[1]
    return indices[0]


@given(
    values=st.lists(
        st.floats(0, 1e300, allow_subnormal=True), min_size=1, max_size=40
    ).filter(any),
    share=st.floats(0, 1),
    block=st.integers(1, 9),
)
def test_draw_finds_the_first_prefix_above(values, share, block):
    terms = np.array(values)
    threshold = share * min(math.fsum(values), 1e304)
    totals = np.zeros((-(-len(terms) // block), 3))
    for b in range(len(totals)):
        some = terms[b * block : (b + 1) * block]
        (totals[b],) = exact.weighted_total(1, some, np.ones(1))
    fast = drawn(terms, totals, block, threshold)
    slow = reference.draw(terms, threshold)
    assert fast in (slow, -1)
    assert seeding.draw(terms, threshold) == slow


def test_draw_on_the_boundaries():
    """A threshold that equals a prefix sum belongs to the next sample."""
    terms = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    totals = np.array([[0.25, 0, 0], [0.75, 0, 0]])
    expected = {0.0: 1, 0.2: 1, 0.25: 3, 0.7: 3, 0.75: 4, 0.99: 4}
    for threshold, index in expected.items():
        assert drawn(terms, totals, 3, threshold) == index
        assert seeding.draw(terms, threshold) == index
    # Rounding may push a threshold up to the whole sum: the last positive term.
    assert drawn(terms, totals, 3, 1.0) == -1
    assert seeding.draw(terms, 1.0) == 4


# --- the order of the samples


@every_dtype
def test_lexicographic_order_is_that_of_numpy(dtype, rng):
    tiny, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    values = [0.0, -0.0, 1.0, -1.0, tiny, -tiny, largest, -largest, 1.5, -1e-30]
    X = rng.choice(np.array(values, dtype), size=(500, 3))
    np.testing.assert_array_equal(seeding.lexicographic(X), np.lexsort(X.T[::-1]))
    few = rng.permutation(np.array(values[1:], dtype))  # no first feature twice
    X = np.stack([few, few[::-1]], axis=1)
    np.testing.assert_array_equal(seeding.lexicographic(X), np.lexsort(X.T[::-1]))


@every_init
def test_the_order_of_few_samples_does_not_matter(init, rng):
    X = rng.normal(size=(300, 3))
    shuffled = rng.permutation(300)
    chosen = [
        Y[
            seeding.CHOOSERS[init](
                engines.Lanes(Y, None, 1), 9, np.random.default_rng(1)
            )
        ]
        for Y in (X, X[shuffled])
    ]
    np.testing.assert_array_equal(*chosen)


@pytest.mark.parametrize("init", ["k-means++", "farthest"])
def test_few_samples_may_be_repeated_or_weighted(init, rng):
    """`random` draws different samples, be they copies, so it is not among them."""
    X = rng.integers(-50, 50, size=(100, 3)).astype(float)
    counts = rng.integers(0, 4, 100)
    shuffled = rng.permutation(100)
    repeated = engines.Lanes(np.repeat(X, counts, axis=0), None, 1)
    weighted = engines.Lanes(X[shuffled], counts[shuffled].astype(float), 1)
    chosen = [
        samples.X[seeding.CHOOSERS[init](samples, 9, np.random.default_rng(1))]
        for samples in (repeated, weighted)
    ]
    np.testing.assert_array_equal(*chosen)


@every_init
@pytest.mark.parametrize("n_samples", [2**14, 2**14 + 1])
def test_many_samples_are_drawn_from_as_they_come(init, n_samples, rng):
    """The reference on both sides of where sorting ends."""
    assert seeding.MOST_SORTED == reference.MOST_SORTED == 2**15
    X = rng.normal(size=(n_samples, 2))
    check(init, X, 3, None)
