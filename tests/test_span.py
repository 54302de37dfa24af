"""Labels by coordinates in the span of earlier centers are the reference's."""

import numpy as np
import pytest
from cases import DTYPES
from hypothesis import settings
from test_contract import check_long_runs, same
from test_skips import any_walk

from fastkm import engines, kmeans, reference
from fastkm.engines import span
from fastkm.engines.kept import Kept, advance
from fastkm.engines.skips import Skips

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
BY_COORDINATES = "samples labelled by coordinates"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Let little data have spans."""
    monkeypatch.setattr(span, "LARGE", 0)
    monkeypatch.setattr(span, "SAVED", 0)


@pytest.fixture
def always(monkeypatch):
    """Let any centers have one."""
    monkeypatch.setattr(span, "FEW", 2)


def along_a_line(rng, n: int, d: int, dtype=np.float64):
    """Overlapping clusters: most of what centers move is along the line."""
    return (rng.normal(size=(n, 1)) * 3 + rng.normal(size=(n, d)) / 3).astype(dtype)


@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.usefixtures("always")
def test_runs(rng, offset, n_threads, dtype, monkeypatch):
    monkeypatch.setattr(engines.InMemory, "n_chunks", lambda self, work: n_threads)
    X = along_a_line(rng, 500, 40, dtype) + dtype(offset)
    check_long_runs(Skips, X, 5, n_threads)


@settings(max_examples=120, deadline=None)
@any_walk
@pytest.mark.usefixtures("always")
def test_any_walk_of_the_centers(seed, scale, step, on_lattice):
    """Within their span and out of it, some at rest, ties, centers that coincide."""
    rng = np.random.default_rng(seed)
    n_clusters = int(rng.integers(1, 5))
    X = rng.normal(size=(100, int(rng.integers(n_clusters, 12))))
    X = (np.round(X) if on_lattice else X) * scale
    engine = Skips(X, None, 1)
    centers = X[rng.permutation(100)[:n_clusters]]
    for _ in range(8):
        engine.step(centers)
        same(engine._labels, reference.assign(X, centers)[0])
        mixed = rng.integers(-1, 2, (n_clusters, n_clusters)) @ centers
        if rng.random() < 0.5:
            mixed = rng.integers(-1, 2, size=centers.shape) * scale
        centers = centers + mixed * step * (rng.random((n_clusters, 1)) < 0.7)


@every_dtype
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e12])
def test_the_margin_covers_every_error(rng, dtype, scale):
    """Scores as the kernel computes them, against extended precision."""
    X = (along_a_line(rng, 300, 30) * scale).astype(dtype)
    shift = X[:50].mean(axis=0)
    centers = X[:5].astype(np.float64)
    made = span.Span(1, X, shift, centers)
    for moved in (centers, centers * 1.1 + centers[0] / 7, centers[::-1] + X[7] / 9):
        _, _, packed, norms, margin = made.scores(moved)
        m0, m1, m2, floor, stretch, m3, n_features = margin
        assert n_features == 30
        columns = packed.reshape(-1, made.width, engines.tiles.GROUP)
        columns = columns.transpose(0, 2, 1).reshape(-1, made.width)[:5]
        scores = norms[:5] + made.rows @ columns.T
        difference = X.astype(np.longdouble) - shift.astype(np.float64)
        off = np.longdouble(moved) - shift.astype(np.float64)
        true = 0.5 * (off**2).sum(axis=1) - difference @ off.T
        norm = floor + stretch * np.sqrt((made.rows.astype("f8") ** 2).sum(axis=1))
        assert (norm >= np.sqrt((difference**2).sum(axis=1))).all()
        bound = m0 + m1 * norm + m2 * norm**2 + m3 * made.rows[:, -1]
        assert (2 * np.abs(scores - true).max(axis=1) <= bound).all()


def test_most_samples_are_not_read(rng):
    X = along_a_line(rng, 5000, 60)
    result = kmeans(X, 5, init=X[:5], engine="skips", tol=0)
    counts = result.report.counts
    assert result.n_iter > 10
    read = counts["samples labelled"] - counts[BY_COORDINATES]
    assert counts[BY_COORDINATES] > 2 * (read - len(X))


def test_a_span_is_made_when_all_were_read_and_given_up_when_it_decides_few(rng):
    X = along_a_line(rng, 1000, 30)
    engine = Skips(X, None, 1)
    engine.step(X[:4])
    assert engine._spans.span is None
    centers = reference.move(X[:4], *reference.step(X, X[:4])[1:])
    engine.step(centers)
    made = engine._spans.span
    assert made is not None
    engine.step(centers * 1.01)
    assert engine._spans.span is made
    others = rng.normal(size=centers.shape)
    engine.step(others / np.linalg.norm(others, axis=1)[:, None])
    assert engine._spans.span is not made


def test_no_span_where_the_centers_need_all_dimensions(rng):
    """Then it would decide little: looked at after 1, 2, 4 ... passes, never made."""
    X = rng.random((1000, 30))
    engine = Skips(X, None, 1)
    for n in range(8):
        engine.step(X[4 * n : 4 * n + 4])
    assert engine.counts["samples labelled"] == 8000
    assert engine.counts[BY_COORDINATES] == 0
    assert engine._spans.most_read == 8000


def test_no_span_without_a_first_step(rng):
    """An engine for one step from a state that was kept would not be repaid."""
    X = along_a_line(rng, 400, 20)
    kept = Kept.nothing(400, 4, 20)._replace(centers=X[:4])
    kept.labels[:] = 0  # of keys that are void
    totals, touched = np.zeros((1, 3, 5, 21)), np.zeros(4, bool)
    engine = Skips(X, None, 1)
    advance(engine, kept, X[4:8], totals, touched)
    assert engine._spans.span is None
    same(kept.labels, reference.assign(X, X[4:8])[0])
