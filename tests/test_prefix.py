"""Sieves by leading coordinates: same bits as the reference, whatever they let pass."""

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contract import (
    Slices,
    check_long_runs,
    check_run,
    check_step,
    check_told_steps,
    same,
)

from fastkm import engines, kmeans, lloyd, reference
from fastkm.engines import prefix
from fastkm.engines.chunks import KEPT_BYTES
from fastkm.engines.prefix import Prefix
from fastkm.engines.sieves import LEADS, Sieves
from fastkm.engines.skips import Skips
from fastkm.engines.tiles import Tiles

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


class Eager(Sieves):
    """They serve always, however little it pays."""

    lead_wanted = 3

    def choose_lead(self, *seen) -> None:
        self.use_lead(min(self.lead_wanted, self.n_coordinates), 0.0)


class Sieving(Prefix):
    def __init__(self, X, weights, n_threads) -> None:
        super().__init__(X, weights, n_threads, Eager(X, n_threads))


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


@every_dtype
def test_steps_that_are_told_what_moved(dtype, rng):
    check_told_steps(Sieving, mixture(600, 60, 30, dtype), 50, rng)


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
    assert engine.sieves.cost > 1
    assert engine.counts["samples labelled"] == 2000


@every_dtype
@pytest.mark.parametrize("n_features", [3, 40, 160])
def test_keys_are_lower_bounds(n_features, dtype, monkeypatch, rng):
    """Samples are skipped, and no other center comes as near as their keys say."""
    monkeypatch.setattr(prefix, "PER_CLUSTER", 0)
    monkeypatch.setattr(prefix, "FAR", np.inf)
    monkeypatch.setattr(prefix, "REPAID", -1.0)
    X = mixture(900, n_features, 20, dtype)
    X[-30:] = X[:30]
    engine, centers = Sieving(X, None, 2), X[:40].astype("f8")
    n_known = 0
    for size in (0.1, 0.1, 0.01, 0.01, 0.003, 0.001, 0.001, 0.1, 0.001):
        labels, _ = reference.assign(X, centers)
        engine.step(centers)
        same(engine._labels, labels)
        x, c = X.astype(np.longdouble), centers.astype(np.longdouble)
        apart = np.sqrt(((x[:, None] - c) ** 2).sum(axis=2))
        own = apart[np.arange(len(X)), labels]
        apart[np.arange(len(X)), labels] = np.inf
        leads = apart.min(axis=1) - own
        known = engine.keys > engine.room[labels]
        n_known += known.sum()
        keys = engine.keys[known] - engine.room[labels][known]
        assert (leads[known] >= keys).all()
        moved = rng.random(len(centers)) < 0.7
        centers = centers.astype(dtype).astype("f8")
        centers[moved] += rng.normal(size=(moved.sum(), n_features)) * size / 9
        centers = centers.astype(dtype).astype("f8")
    assert n_known > 900 and engine.counts["samples skipped"] > 900


@every_dtype
def test_long_runs_with_keys(dtype, monkeypatch):
    monkeypatch.setattr(prefix, "PER_CLUSTER", 0)
    monkeypatch.setattr(prefix, "FAR", np.inf)
    monkeypatch.setattr(engines.InMemory, "n_chunks", lambda self, work: 2)
    check_long_runs(Sieving, mixture(900, 60, 30, dtype), 40, 2)


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
    assert engine.counts["samples undecided by float64"] > 0


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
    engine.sieves.lead_wanted = n_lead
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


# --- in chunks


def chunked(X, n_clusters, n_rows, n_threads=2, **options):
    """The engine for samples in chunks, as it is made for a long fit."""
    chunks = Slices(X, n_rows)
    return engines.choose(
        chunks, None, n_clusters, n_threads, n_steps=300, **options
    ).engine


@pytest.fixture
def projected(monkeypatch):
    """Numbers of rows of which images were made."""
    numbers, images = [], Sieves.images

    def noted(self, X, n_threads):
        numbers.append(len(X))
        return images(self, X, n_threads)

    monkeypatch.setattr(Sieves, "images", noted)
    monkeypatch.setattr(Sieves, "choose_lead", Eager.choose_lead)
    monkeypatch.setattr(Sieves, "lead_wanted", 5, raising=False)
    return numbers


@every_dtype
@pytest.mark.parametrize("keeps", range(4))
@pytest.mark.parametrize("n_rows", [7, 70, 135, 5000])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_chunks_of_any_size(n_rows, keeps, n_threads, dtype, projected):
    X = mixture(405, 40, 12, dtype)

    def make(X, weights, n_threads):
        return engines.choose(
            Slices(X, n_rows), weights, 30, n_threads, "prefix", 300, keeps=keeps
        ).engine

    check_long_runs(make, X, 30, n_threads)


def test_chunks_share_their_sieves_and_keep_their_images(projected):
    X = mixture(9000, 200, 400)
    n_clusters = 400
    slow = Prefix(X, None, 2)
    fast = {
        keeps: chunked(X, n_clusters, 1000, engine="prefix", keeps=keeps)
        for keeps in (engines.STATE, engines.IMAGES)
    }
    centers = X[:n_clusters]
    for step_number in range(4):
        step = slow.step(centers)
        totals = step.totals.rounded()[0]
        for keeps, engine in fast.items():
            projected.clear()
            same(engine.step(centers).totals.rounded()[0], totals)
            is_new = keeps == engines.STATE or step_number == 0
            assert projected.count(1000) == (9 if is_new else 0)
            assert sum(n <= n_clusters for n in projected) == 1  # centers, once
        centers = lloyd.move(centers, totals)
    projected.clear()
    found = fast[engines.IMAGES].assign(centers)
    assert 1000 not in projected
    for answer, expected in zip(found, slow.assign(centers), strict=True):
        same(answer, expected)


@pytest.mark.parametrize("n_features", [40, 128, 300])
def test_what_is_kept_of_samples_is_what_is_stated(n_features):
    X = mixture(500, n_features, 10)
    engine = Prefix(X, None, 1)
    look = engine.sieves.look(engine._centers, X[:20].astype(np.float64))
    for n_lead in (*LEADS, n_features):
        if n_lead <= engine.sieves.n_coordinates:
            engine.sieves.use_lead(n_lead, 0.0)
            engine._prepare(look)
            reduced = engine.reduced
            held = reduced.squares, reduced.scores, *reduced.images, *reduced.lead
            n_bytes = sum(values.nbytes for values in held)
            assert n_bytes <= 500 * (
                KEPT_BYTES[engines.IMAGES] - KEPT_BYTES[engines.ASSIGNMENTS]
            )


def test_many_small_chunks_are_sieved():
    """What the sieves cost is repaid by all chunks, not by each."""
    X = mixture(20_000, 100, 50)
    engine = chunked(X, 1024, 100)
    assert isinstance(engine.make(X[:100], None, 1024, 1), Prefix)
    assert not isinstance(engine.make(X[:100], None, 1, 1), Prefix)
    assert not isinstance(chunked(X, 20, 100).make(X[:100], None, 20, 1), Prefix)


def test_noise_in_chunks_is_left_to_the_bounds(rng, monkeypatch):
    """Pilots find that sieves do not pay; from then on samples are skipped."""
    monkeypatch.setattr(engines, "_may_sieve", lambda shape, k, n: k == 100)
    X = rng.normal(size=(2000, 128)).astype("f4")
    for keeps in (engines.NOTHING, engines.STATE):
        engine, slow = chunked(X, 100, 500, keeps=keeps), engines.Lanes(X, None, 1)
        centers = X[:100]
        for _ in range(9):
            totals = slow.step(centers).totals.rounded()[0]
            same(engine.step(centers).totals.rounded()[0], totals)
            centers = lloyd.move(centers, totals)
        kind = Skips if keeps else Tiles
        assert type(engine.make(X[:500], None, 100, 1)) is kind


def test_a_step_that_failed_leaves_nothing_half_known(projected):
    """A pass that ends in an error in its midst, then others."""
    X = mixture(1000, 40, 12)

    class Failing(Slices):
        fails = False

        def __iter__(self):
            for n, chunk in enumerate(super().__iter__()):
                if self.fails and n == 2:
                    raise OSError("the disk is gone")
                yield chunk

    chunks = Failing(X, 200)
    engine = engines.choose(chunks, None, 30, 2, "prefix", 300).engine
    for first in (0, 100, 200, 300):
        centers = X[first : first + 30]
        chunks.fails = first == 200
        if chunks.fails:
            with pytest.raises(OSError, match="gone"):
                engine.step(centers)
        else:
            totals = lloyd.exact_totals(
                engine, engine.step(centers), reference.assign(X, centers)[0]
            )
            _, sums, weights = reference.step(X, centers)
            same(totals, np.column_stack([sums, weights]))


def test_whole_fits_from_chunks_have_the_same_bits(tmp_path):
    X = mixture(9000, 64, 400)
    np.save(tmp_path / "X.npy", X)
    options = {"n_clusters": 400, "init": X[:400], "engine": "prefix", "max_iter": 5}
    slow = kmeans(X, **options)
    for max_memory in (7_000_000, 600_000, 300_000):  # keeps images, labels, state
        fast = kmeans(tmp_path / "X.npy", **options, max_memory=max_memory)
        assert fast.report.engine == "chunks"
        assert fast.report.counts["pairs past the first sieve"] > 0
        same(fast.centers, slow.centers)
        same(fast.labels, slow.labels)
        assert fast.inertia == slow.inertia
