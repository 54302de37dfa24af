"""Skipped samples keep the label that the reference gives them."""

import math

import numpy as np
import pytest
from cases import DTYPES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_contract import check_long_runs, same

from fastkm import engines, kmeans, reference
from fastkm.engines.movements import added_room
from fastkm.engines.skips import Skips

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def blobs(n: int, d: int, n_blobs: int, dtype=np.float32, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_blobs, d))[rng.integers(0, n_blobs, n)] * 3
    return (X + rng.normal(size=(n, d))).astype(dtype)


@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_runs(offset, n_threads, dtype, monkeypatch):
    monkeypatch.setattr(engines.InMemory, "n_chunks", lambda self, work: n_threads)
    X = blobs(500, 12, 4, dtype) + dtype(offset)
    check_long_runs(Skips, X, 9, n_threads)


any_walk = given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-300, 1e-160, 1e-44, 1e-30, 1.0, 1e10, 1e38, 1e150]),
    step=st.sampled_from([1e-9, 1e-3, 0.1, 1.0]),
    on_lattice=st.booleans(),
)


@example(seed=1, scale=1e150, step=0.1, on_lattice=False)  # keys beyond float32
@settings(max_examples=120, deadline=None)
@any_walk
def test_any_walk_of_the_centers(seed, scale, step, on_lattice):
    """Small and large movements, some centers at rest, ties; assign in between."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, int(rng.integers(1, 9))))
    X = (np.round(X) if on_lattice else X) * scale
    engine = Skips(X, None, 1)
    centers = X[rng.permutation(100)[: rng.integers(1, 8)]]
    for _ in range(6):
        engine.step(centers)
        same(engine._labels, reference.assign(X, centers)[0])
        others = centers + rng.normal(size=centers.shape) * scale * step
        same(engine.assign(others)[0], reference.assign(X, others)[0])
        moves = rng.integers(-1, 2, size=centers.shape) * scale * step
        centers = centers + moves * (rng.random((len(centers), 1)) < 0.7)


@every_dtype
def test_more_samples_than_are_listed_at_once(dtype):
    """Of 3 features a block holds 512; most of them are open in the first steps."""
    X = blobs(5000, 3, 40, dtype)
    options = {"init": X[:8], "tol": 0}
    results = [kmeans(X, 8, engine=name, **options) for name in ("skips", "lanes")]
    for found, expected in zip(*results, strict=True):
        if isinstance(found, np.ndarray):
            same(found, expected)
    assert results[0].report.n_changed == results[1].report.n_changed
    assert results[0].report.counts["samples skipped"] > 0


def test_most_samples_are_skipped():
    X = blobs(5000, 20, 6)
    result = kmeans(X, 6, init=X[:6], engine="skips", tol=0)
    counts = result.report.counts
    assert result.n_iter > 4
    assert counts["samples skipped"] > counts["samples labelled"]


def test_nothing_is_read_when_nothing_moved():
    X = blobs(300, 5, 3)
    engine = Skips(X, None, 1)
    engine.step(X[:3])
    assert engine.counts["samples labelled"] == 300
    assert engine.step(X[:3]).n_changed == 0
    assert engine.counts["samples labelled"] == 300


def test_room_is_at_least_the_movement(rng):
    """Against exact arithmetic: movement of a center plus the largest of the others."""
    centers = rng.normal(size=(7, 30)) * 10.0 ** rng.integers(-200, 100, (7, 1))
    moved = centers * (1 + rng.normal(size=(7, 30)) * 1e-3)
    moved[2] = centers[2]
    exact = []
    for a, b in zip(centers, moved, strict=True):
        difference = [int(x * 2**1074) for x in map(_fraction, b, a)]
        exact.append(math.isqrt(sum(x * x for x in difference)))
    room = added_room(centers, moved)
    for j in range(7):
        others = max(exact[:j] + exact[j + 1 :])
        assert _fraction(room[j], 0.0) * 2**1074 >= exact[j] + others
    assert (added_room(centers, centers) == 0).all()


def _fraction(a: float, b: float):
    from fractions import Fraction

    return Fraction(float(a)) - Fraction(float(b))
