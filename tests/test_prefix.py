"""Sieves by leading coordinates: same bits as the reference, whatever they let pass."""

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contract import check_long_runs, check_run, check_step, same

from fastkm import engines, kmeans, lloyd, reference
from fastkm.engines.prefix import Prefix

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
    assert pairs == 4 * 4000 * 400  # the sieve serves from the first step
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


def test_fit_reports_the_sieves():
    X = mixture(4000, 200, 400)
    result = kmeans(X, 400, init=X[:400], engine="prefix")
    same(result.labels, kmeans(X, 400, init=X[:400], engine="tiles").labels)
    assert result.report.counts["pairs past the first sieve"] > 0
