"""What a pass over chunks is made of: exact sums of blocks, threads, what is kept."""

import math
import threading

import numpy as np
import pytest
from cases import DTYPES, Slices, gaussian
from hypothesis import given
from hypothesis import strategies as st

import fastkm
from fastkm import engines, reference
from fastkm.engines import onepass
from fastkm.engines.base import read_only
from fastkm.engines.dealing import dealt
from fastkm.kernels import passes
from fastkm.kernels.passes import BLOCK

SCALES = [1.0, 1e-300, 1e-270, 1e150, 5e-324]


def mixed(n, d, rng):
    """Numbers of which a block of sums keeps all bits, some, and none."""
    X = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-30, 30, size=(n, 1))
    X[rng.random(size=X.shape) < 0.2] = 0.0
    return X


@pytest.mark.parametrize("kind", ["plain", "integers", "mixed", "zeros", *SCALES])
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_in_one_pass(kind, d, weighted, dtype, rng):
    n, k = 2 * BLOCK + 37, 7
    with np.errstate(over="ignore", under="ignore"):
        X = {
            "plain": lambda: rng.normal(size=(n, d)),
            "integers": lambda: rng.integers(-5, 5, size=(n, d)),
            "mixed": lambda: mixed(n, d, rng),
            "zeros": lambda: np.zeros((n, d)),
        }.get(kind, lambda: kind * rng.normal(size=(n, d)))()
        X = np.clip(X, -1e37, 1e37).astype(dtype)
    weights = rng.gamma(0.5, size=n) if weighted else None
    centers = X[rng.choice(n, k, replace=False)]
    fast = engines.Chunked(Slices(X, n // 3), weights, 2)
    for moved in (centers, X[:k]):
        step = fast.step(moved)
        labels, distances = reference.assign(X, moved)
        totals, uncertain = step.totals.rounded()
        terms = X.astype(float) * (1.0 if weights is None else weights[:, None])
        for j in range(k):
            own = labels == j
            for f in range(d):
                if not uncertain[j, f]:
                    assert totals[j, f] == math.fsum(terms[own, f])
            some = np.ones(n) if weights is None else weights
            assert totals[j, d] == math.fsum(some[own])
        found = fast.assign(moved)
        assert (found[0] == labels).all() and (found[1] == distances).all()


def test_a_weighted_sample_by_itself():
    """Its weight is one number, as is that of samples without weights."""
    X, weights = np.array([[3.0, -5.0], [2.0, 7.0]]), np.array([0.3, 2.5])
    engine = engines.Chunked(Slices(X, 1), weights, 2)
    totals, _ = engine.step(np.zeros((1, 2))).totals.rounded()
    assert totals.tolist() == [[math.fsum(weights * x) for x in (*X.T, np.ones(2))]]
    one = onepass.exact_lanes(X[:1], weights[:1], 1)
    totals, _ = onepass.potentials(one, np.array([np.inf]), X[1:]).rounded()
    assert totals.tolist() == [0.3 * (1.0 + 144.0)]


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 4, 7])
def test_the_first_of_equals_is_nearest(n_clusters):
    X = read_only(np.zeros((BLOCK, 2)))
    labels, distances = np.empty(BLOCK, np.int32), np.empty(BLOCK)
    passes.assign(1, X, np.ones((n_clusters, 2)), labels, distances)
    assert (labels == 0).all() and (distances == 2).all()


@given(st.integers(0, 2**32), st.integers(1, 6), st.booleans())
def test_candidates(seed, d, weighted):
    rng = np.random.default_rng(seed)
    X = mixed(300, d, rng).clip(-1e100, 1e100)
    weights = rng.gamma(0.5, size=300) if weighted else None
    samples = onepass.exact_lanes(X, weights, 2)
    nearest = np.full(300, np.inf)
    onepass.approach(samples, X[:2], nearest)
    table = np.array([reference.assign(X, X[i : i + 1])[1] for i in range(5)])
    assert (nearest == table[:2].min(axis=0)).all()
    totals = onepass.potentials(samples, nearest, X[2:5])
    values, uncertain = totals.rounded()
    for t in range(3):
        terms = np.minimum(nearest, table[2 + t])
        if not uncertain[t]:
            assert values[t] == math.fsum(samples.terms(terms))


# --- threads


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_items_are_dealt(n_workers):
    workers = set()

    def work(worker, item):
        workers.add(worker)
        return 2 * item

    assert dealt(iter(range(50)), n_workers, work) == list(range(0, 100, 2))
    assert workers <= set(range(n_workers))
    assert dealt([], n_workers, work) == []


@pytest.mark.parametrize("fails_in", ["work", "items"])
def test_a_failure_ends_the_pass(fails_in):
    done, before = [], threading.active_count()

    def items():
        yield from range(10)
        if fails_in == "items":
            raise OSError("gone")
        yield from range(10, 10**6)

    def work(worker, item):
        if fails_in == "work" and item == 10:
            raise OSError("gone")
        done.append(item)

    with pytest.raises(OSError, match="gone"):
        dealt(items(), 3, work)
    assert len(done) < 10**5
    assert threading.active_count() == before


# --- what is kept


class Counted(Slices):
    """Slices that note which chunks are read."""

    def __init__(self, X, n_rows):
        super().__init__(X, n_rows)
        self.read = []

    def some(self, chunks):
        self.read.append(list(chunks))
        return super().some(chunks)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_chunks_in_which_nothing_can_change_are_not_read(dtype, n_threads):
    """Groups far apart, in order, of which two overlap."""
    X = gaussian(3000, 16, 1, dtype).X
    X[:1000] += 40
    X[1000:2000] -= 40
    init = np.concatenate([X[:1], X[1000:1001], X[2000:2004]])
    chunks = Counted(X, 100)
    engine = engines.choose(chunks, None, 6, n_threads, n_steps=50).engine
    slow = engines.Lanes(X, None, 1)
    centers = init
    for _ in range(12):
        step, expected = engine.step(centers), slow.step(centers)
        assert (step.totals.rounded()[0] == expected.totals.rounded()[0]).all()
        assert step.n_changed == expected.n_changed
        totals = expected.totals.rounded()[0]
        centers = (totals[:, :-1] / totals[:, -1:]).astype(dtype)
    assert chunks.read[0] == list(range(30))
    assert max(map(len, chunks.read[4:])) <= 10
    assert engine.counts["chunks not read"] >= 100
    assert engine.counts["samples skipped"] >= 100 * 100
    labels, distances = reference.assign(X, centers)
    found = engine.assign(centers)
    assert (found[0] == labels).all() and (found[1] == distances).all()
    engine.forget()
    assert (engine.step(centers).touched).all()


def test_whole_fits_skip_chunks_with_the_same_bits(tmp_path):
    X = gaussian(40_000, 20, 1, np.float64).X
    X += np.repeat(np.arange(8), 5000)[:, None] * 6.0
    np.save(tmp_path / "X.npy", X)
    options = {"n_clusters": 10, "random_state": 0, "tol": 0, "max_iter": 40}
    slow = fastkm.KMeans(**options).fit(X)
    for max_memory in (2_000_000, 1_000_000, 600_000):  # keeps all, its state, nothing
        fast = fastkm.KMeans(**options, max_memory=max_memory).fit(tmp_path / "X.npy")
        assert fast.cluster_centers_.tobytes() == slow.cluster_centers_.tobytes()
        assert (fast.labels_ == slow.labels_).all()
        assert fast.inertia_ == slow.inertia_
        assert (fast.report_.counts.get("chunks not read", 0) > 0) == (
            max_memory > 600_000
        )
        if max_memory > 600_000:
            assert fast.report_.n_changed == slow.report_.n_changed
