"""Swaps of a center and a sample: same bits as the reference, and better optima."""

import numpy as np
import pytest
from cases import DTYPES, SPECIAL, gaussian
from hypothesis import given
from hypothesis import strategies as st
from test_contract import same

from fastkm import KMeans, engines, kmeans, reference, swaps
from fastkm.engines import Lanes

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def check(X, centers, weights=None, n_swaps=12, n_threads=2):
    slow = reference.swap(
        X, centers, np.random.default_rng(0), weights, n_swaps=n_swaps
    )
    samples = Lanes(X, weights, n_threads)
    fast, _ = swaps.swap(samples, centers, np.random.default_rng(0), n_swaps)
    same(fast, slow)


@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_special_cases(special, dtype, n_threads, monkeypatch):
    monkeypatch.setattr(
        engines.InMemory, "n_chunks", lambda self, work: min(n_threads, self.n_samples)
    )
    case = SPECIAL[special](dtype)
    check(case.X, case.centers[:20], case.weights, 5, n_threads)


@every_dtype
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 2), (65, 9, 1), (257, 2, 2), (600, 17, 7), (64, 3, 64)]
)
def test_shapes(shape, dtype):
    case = gaussian(*shape, dtype)
    check(case.X, case.centers)
    check(case.X, case.centers, np.random.default_rng(2).gamma(1.0, size=shape[0]))


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-300, 1e-20, 1.0, 1e6, 1e140]),
    on_lattice=st.booleans(),
)
def test_any_problem(seed, scale, on_lattice):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(int(rng.integers(2, 30)), int(rng.integers(1, 4))))
    X = (np.round(X) if on_lattice else X) * scale
    weights = rng.integers(0, 3, len(X)) + 1e-12 * rng.random()
    check(X, X[: rng.integers(1, len(X) + 1)], weights)


def test_frozen_centers_stay(rng):
    X = rng.normal(size=(200, 2))
    frozen = np.arange(6) % 2 == 0
    options = {"n_swaps": 20, "frozen": frozen}
    slow = reference.swap(X, X[:6], np.random.default_rng(0), **options)
    samples = Lanes(X, None, 2)
    fast, n_done = swaps.swap(samples, X[:6], np.random.default_rng(0), **options)
    same(fast, slow)
    assert n_done > 0
    same(fast[frozen], X[:6][frozen])


def test_what_is_kept_stays_right(rng):
    """After many swaps, against the distances to all centers."""
    X = rng.integers(0, 6, size=(300, 2)).astype(float)
    near = swaps.Neighbours(Lanes(X, None, 2), X[:9])
    for i in rng.permutation(300)[:50]:
        distances = reference.squared_distances(X, X[i : i + 1])[:, 0]
        costs = near.costs(distances)
        same(costs, reference.swap_costs(X, near.centers, i))
        near.swap(int(rng.integers(9)), i, distances)
        table = reference.squared_distances(X, near.centers)
        everyone = np.arange(300)
        same(near.nearest, table[everyone, near.labels])
        same(near.second, table[everyone, near.others])
        same(np.sort(table)[:, :2], np.column_stack([near.nearest, near.second]))
        assert (near.labels != near.others).all()


def test_a_fit_goes_on_from_the_swapped_centers(rng):
    X = rng.normal(size=(4000, 3)) + 9 * rng.integers(0, 3, size=(4000, 3))
    for engine in ("auto", *engines.ENGINES):
        options = {"init": "random", "n_init": 1, "random_state": 4}
        before = kmeans(X, 27, engine=engine, **options)
        after = kmeans(X, 27, engine=engine, n_swaps=20, **options)
        assert 0 < after.report.n_swapped <= 20
        assert after.inertia < before.inertia
        assert after.report.inertias == before.report.inertias
        assert after.n_iter == len(after.report.shifts) > before.n_iter
        again = KMeans(27, n_swaps=20, **options).fit(X)
        same(again.labels_, after.labels)
        same(again.cluster_centers_, after.centers)


def test_a_fit_that_swaps_find_nothing_for_stays_as_it_was():
    X = np.array([[0.0], [1.0], [9.0], [10.0]])
    plain = kmeans(X, 2, random_state=0)
    swapped = kmeans(X, 2, random_state=0, n_swaps=9)
    assert swapped.report.n_swapped == 0
    same(swapped.centers, plain.centers)
    assert swapped.n_iter == plain.n_iter
    assert kmeans(X, 4, random_state=0, n_swaps=3).inertia == 0


def test_swaps_find_every_cluster_of_a_grid():
    grid = np.stack(np.meshgrid(*[np.arange(10.0)] * 2), -1).reshape(-1, 2) * 10
    rng = np.random.default_rng(0)
    X = grid[rng.integers(0, 100, 5000)] + rng.normal(size=(5000, 2))
    for seed in range(5):
        model = KMeans(100, init="random", n_init=1, random_state=seed, n_swaps=150)
        found = {tuple(center) for center in model.fit(X).cluster_centers_.round(-1)}
        assert len(found) == 100
