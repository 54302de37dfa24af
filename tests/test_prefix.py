"""Sieves by leading coordinates: same bits as the reference, whatever they let pass."""

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from test_contract import check_long_runs, check_run, check_step, same

from fastkm import engines, kmeans, lloyd, reference
from fastkm.engines import prefix
from fastkm.engines.prefix import Prefix
from fastkm.kernels import simd, simd_rows, vectors

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


class Sieving(Prefix):
    """Sieves always, however little it pays."""

    lead_wanted = 3

    def _choose_lead(self) -> None:
        self.n_lead, self.cost = min(self.lead_wanted, self.width - 1), 0.0


def mixture(n: int, d: int, n_blobs: int, dtype=np.float32, seed: int = 0):
    """Blobs whose variance is in few directions."""
    rng = np.random.default_rng(seed)
    scales = np.arange(1, d + 1) ** -0.5
    X = rng.normal(size=(n_blobs, d))[rng.integers(0, n_blobs, n)] * 4
    return ((X + rng.normal(size=(n, d))) * scales).astype(dtype)


@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
def test_special_cases(special, dtype):
    check_step(Sieving, SPECIAL[special](dtype))
    check_run(Sieving, SPECIAL[special](dtype))


@every_dtype
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 33, 2), (65, 7, 65), (257, 128, 7), (257, 33, 257)]
)
def test_shapes(shape, dtype):
    check_step(Sieving, gaussian(*shape, dtype))
    check_run(Sieving, gaussian(*shape, dtype), tol=1e-4)


@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_runs_on_structured_data(offset, n_threads, dtype, monkeypatch):
    monkeypatch.setattr(engines.InMemory, "n_chunks", lambda self, work: n_threads)
    X = mixture(600, 60, 30, dtype) + dtype(offset)
    check_long_runs(Sieving, X, 60, n_threads)


def test_most_pairs_are_ruled_out():
    X = mixture(4000, 200, 400)
    engine = Prefix(X, None, 2)
    centers = X[:400]
    for _ in range(4):
        step = engine.step(centers)
        labels, _ = reference.assign(X, centers)
        same(engine._labels, labels)
        centers = lloyd.move(centers, lloyd.exact_totals(engine, step, labels))
    counts = engine.counts
    pairs = counts["pairs of sample and center"]
    assert 0 < pairs < 4 * 4000 * 400  # random centers rule out too few at first
    assert 0 < counts["pairs computed in full"] < counts["pairs past the first sieve"]
    assert counts["pairs past the first sieve"] < 0.1 * pairs


def test_noise_is_left_to_the_tiles(rng):
    engine = Prefix(rng.normal(size=(2000, 128)).astype("f4"), None, 2)
    engine.step(engine.X[:100])
    assert engine.cost > 1
    assert engine.counts["samples labelled"] == 2000


def test_limits_do_not_outlive_larger_centers():
    """A center far out widens the margins, also of samples whose center rests."""
    X = mixture(500, 40, 10)
    engine = Sieving(X, None, 1)
    centers = X[:20].copy()
    for reach in (1, 10, 1e3, 1e6, 1):
        centers[3] = X[3] * reach
        labels, _ = reference.assign(X, centers)
        engine.step(centers)
        same(engine._labels, labels)


def test_crowded_samples_go_to_the_tiles():
    """More candidates than the lists hold: duplicate centers."""
    X = mixture(300, 40, 10)
    centers = np.repeat(X[:10], 20, axis=0)
    engine = Sieving(X, None, 2)
    engine.step(centers)
    same(engine._labels, reference.assign(X, centers)[0])
    assert engine.counts["samples undecided by float32"] > 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_lead=st.integers(1, 20),
    scale=st.sampled_from([1e-30, 1e-10, 1.0, 1e10]),
    dtype=st.sampled_from(DTYPES),
)
def test_small_integers_tie_often(seed, n_lead, scale, dtype):
    """Lattices, where centers tie; any number of leading coordinates."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(2, 200)), int(rng.integers(1, 50))
    X = (rng.integers(-2, 3, size=shape) * scale).astype(dtype)
    engine = Sieving(X, None, 1)
    engine.lead_wanted = n_lead
    for _ in range(3):
        centers = X[rng.permutation(len(X))[: rng.integers(1, len(X) + 1)]]
        same(engine.assign(centers)[0], reference.assign(X, centers)[0])
        engine.step(centers)
        same(engine._labels, reference.assign(X, centers)[0])


@every_dtype
@pytest.mark.parametrize("shape", [(50, 40), (300, 40), (20, 400)])
def test_coordinates_are_within_their_error(shape, dtype, rng):
    """|y~ - Q'x| <= error |x|, and the rest is an upper bound: against longdouble."""
    X = rng.normal(size=shape).astype(dtype)
    engine = Prefix(X, None, 2)
    basis = engine.basis
    n = basis.n_coordinates
    directions = basis.packed.reshape(-1, shape[1], vectors.GROUP)
    directions = directions.transpose(1, 0, 2).reshape(shape[1], -1)[:, :n]
    u, _, v = np.linalg.svd(directions, full_matrices=False)
    x = X.astype(np.longdouble) - engine.shift
    exact = x @ (u @ v).astype(np.longdouble)
    norms = np.sqrt((x**2).sum(axis=1))
    coordinates = engine._project(engine.X)
    errors = np.sqrt(((coordinates[:, :n] - exact) ** 2).sum(axis=1))
    assert (errors <= basis.error * norms).all()
    rest = np.sqrt(np.maximum((x**2).sum(axis=1) - (exact**2).sum(axis=1), 0))
    assert (coordinates[:, -1] >= rest).all()
    lead = engine._shorten(coordinates, 5)
    rest = np.sqrt((x**2).sum(axis=1) - (exact[:, :5] ** 2).sum(axis=1))
    assert (lead[:, 5] >= rest).all()


def test_values_whose_squares_overflow_get_some_basis(rng):
    rows = rng.uniform(-1, 1, size=(50, 20)) * 1.5e308
    basis = prefix.make_basis(rows, 10)
    assert basis.error < 1e-6


@njit
def dots(a, b, size):
    return simd_rows.dot(a, 0, b, 0, size)


@njit
def masks_of(samples, centers, n_features, norms, limits, masks):
    simd.sift(samples, 0, centers, 0, n_features, norms, 0, limits, 0, masks, 0)


def test_dot_and_sift(rng):
    size = 3 * simd_rows.DOT_STEP
    a, b = rng.normal(size=(2, size)).astype("f4")
    exact = float(a.astype("f8") @ b.astype("f8"))
    bound = simd_rows.dot_depth(size) * 2.0**-24 * float(np.abs(a) @ np.abs(b))
    assert abs(dots(a, b, size) - exact) <= 1.01 * bound

    n_features, lanes = 7, vectors.LANES_32
    samples = rng.integers(-3, 4, size=(n_features, lanes)).astype("f4")
    centers = rng.integers(-3, 4, size=(n_features, vectors.GROUP)).astype("f4")
    norms = rng.integers(0, 9, size=vectors.GROUP).astype("f4")
    limits = rng.integers(-9, 9, size=lanes).astype("f4")
    limits[0], limits[1], samples[0, 2] = np.inf, -np.inf, np.nan
    masks = np.zeros(vectors.GROUP, simd.MASK)
    masks_of(samples.ravel(), centers.ravel(), n_features, norms, limits, masks)
    scores = norms[:, None] + centers.T @ samples
    expected = ~(scores > limits)
    bits = (masks[:, None] >> np.arange(lanes, dtype=simd.MASK)) & simd.MASK.type(1)
    assert np.array_equal(bits.astype(bool), expected)


def test_margin_covers_roundings_of_the_norm():
    """A sum that starts from the half norm and is rounded up by every small term."""
    n_features, lanes, ulp = 65, vectors.LANES_32, 2.0**-23
    centers = np.full((n_features, vectors.GROUP), 0.125)
    x = np.zeros((n_features, lanes))
    x[:64] = -8 * 0.5625 * ulp
    scores = 1 + 64 * 0.5625 * ulp  # half norm 1, less the products
    basis = prefix.Basis(np.empty(0), 64, 0.0, 0.0)
    m0, m1, m2, *_ = prefix.sieve_margin(128, 96, 128, 2.0, basis)
    norm = np.linalg.norm(x[:, 0])
    half = (m0 + norm * (m1 + norm * m2)) / 2
    masks = np.zeros(vectors.GROUP, simd.MASK)
    computed_above = {}
    for limit in (scores + 20 * ulp, scores + half):
        masks_of(
            x.astype("f4").ravel(), -centers.astype("f4").ravel(), n_features,
            np.ones(vectors.GROUP, "f4"), np.full(lanes, limit, "f4"), masks,
        )  # fmt: skip
        computed_above[limit] = not masks.any()
    assert list(computed_above.values()) == [True, False]


def test_fit_reports_the_sieves():
    X = mixture(4000, 200, 400)
    result = kmeans(X, 400, init=X[:400], engine="prefix")
    same(result.labels, kmeans(X, 400, init=X[:400], engine="tiles").labels)
    assert result.report.counts["pairs past the first sieve"] > 0
