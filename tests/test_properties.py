"""Metamorphic properties: how the result must change when the input does."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastkm import assign, kmeans
from fastkm.engines import ENGINES

every_engine = pytest.mark.parametrize("engine", ENGINES)

problems = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(2, 90),
    st.integers(1, 12),
    st.integers(1, 9),
    st.sampled_from([np.float32, np.float64]),
)


def draw(problem):
    """Random samples (no ties) and some of them as initial centers."""
    seed, n, d, k, dtype = problem
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    return rng, X, X[rng.permutation(n)[: min(n, k)]].copy()


def fit(X, centers, **options):
    return kmeans(X, len(centers), init=centers, tol=0, **options)


@every_engine
@given(problem=problems)
def test_whole_weights_equal_repetition(engine, problem):
    rng, X, centers = draw(problem)
    # Powers of two, so that weight * sample and weight * distance are exact.
    weights = rng.choice([0.0, 1.0, 2.0, 4.0], size=len(X))
    weights[0] = 1
    repeated = np.repeat(X, weights.astype(int), axis=0)
    k = min(len(centers), len(np.unique(repeated, axis=0)))
    weighted = fit(X, centers[:k], sample_weight=weights, engine=engine)
    plain = fit(repeated, centers[:k], engine=engine)
    assert np.array_equal(weighted.centers, plain.centers)
    assert weighted.inertia == plain.inertia
    assert np.array_equal(np.repeat(weighted.labels, weights.astype(int)), plain.labels)


@every_engine
@given(problem=problems)
def test_order_of_samples_does_not_matter(engine, problem):
    rng, X, centers = draw(problem)
    order = rng.permutation(len(X))
    one = fit(X, centers, engine=engine)
    other = fit(X[order], centers, engine=engine)
    assert np.array_equal(one.centers, other.centers)
    assert np.array_equal(one.labels[order], other.labels)
    assert one.inertia == other.inertia
    assert one.n_iter == other.n_iter


@every_engine
@given(problem=problems)
def test_order_of_centers_names_the_clusters(engine, problem):
    rng, X, centers = draw(problem)
    order = rng.permutation(len(centers))
    one = fit(X, centers, engine=engine)
    other = fit(X, centers[order], engine=engine)
    assert np.array_equal(one.centers[order], other.centers)
    assert np.array_equal(one.labels, order[other.labels])
    assert one.inertia == other.inertia


@every_engine
@given(problem=problems)
def test_refit_from_the_optimum_changes_nothing(engine, problem):
    _, X, centers = draw(problem)
    first = fit(X, centers, engine=engine)
    again = fit(X, first.centers, engine=engine)
    assert again.n_iter == 1
    assert again.report.stop == "unchanged"
    assert np.array_equal(again.centers, first.centers)
    assert np.array_equal(again.labels, first.labels)
    assert again.inertia == first.inertia


@every_engine
@given(problem=problems)
def test_inertia_never_rises(engine, problem):
    _, X, centers = draw(problem)
    # Rounding the centers costs up to (ulp / 2)^2 per sample and feature: for values
    # below 8 that is 2^-100 in float64 and 2^-42 in float32.
    slack = X.size * (2.0**-100 if X.dtype == np.float64 else 2.0**-42)
    inertias = [
        fit(X, centers, max_iter=n, engine=engine).inertia for n in (1, 2, 3, 5, 300)
    ]
    for before, after in pairwise(inertias):
        assert after <= before + slack


@every_engine
@given(problem=problems)
def test_no_cluster_stays_empty(engine, problem):
    _, X, centers = draw(problem)
    centers[:] = centers[0]
    result = fit(X, centers, max_iter=3, engine=engine)
    assert len(np.unique(result.labels)) == len(centers)
    assert result.report.n_empty == 0


@every_engine
@given(problem=problems)
def test_labels_and_inertia_belong_to_the_centers(engine, problem):
    _, X, centers = draw(problem)
    result = fit(X, centers, max_iter=2, engine=engine)
    labels, distances = assign(X, result.centers)
    assert np.array_equal(labels, result.labels)
    # NumPy's pairwise sum of at most some hundred terms: fewer roundings than 2^-40.
    assert result.inertia == pytest.approx(distances.sum(), rel=1e-12)


@given(problem=problems, power=st.integers(-60, 60))
def test_scaling_by_a_power_of_two_scales_the_result(problem, power):
    _, X, centers = draw(problem)
    scale = X.dtype.type(2.0**power)
    one = fit(X, centers)
    scaled = fit(X * scale, centers * scale)
    assert np.array_equal(one.centers * scale, scaled.centers)
    assert np.array_equal(one.labels, scaled.labels)


@pytest.mark.parametrize("engine", ENGINES)
def test_far_off_data_keeps_its_labels(engine, rng):
    """The peers mislabel most of such rows in float32."""
    blobs = rng.normal(size=(5, 64)) * 2
    X = (blobs[rng.integers(0, 5, 1000)] + rng.normal(size=(1000, 64))).astype("f4")
    for offset in (1e3, 1e4, 1e5, 1e6):
        far = X + np.float32(offset)
        labels, _ = assign(far, far[:50])
        double = far.astype(np.float64)
        table = ((double[:, None] - double[None, :50]) ** 2).sum(axis=2)
        assert np.array_equal(labels, table.argmin(axis=1))
        result = kmeans(far, 5, init=far[:5], engine=engine)
        assert np.array_equal(assign(far, result.centers)[0], result.labels)


def test_many_samples_do_not_stop_a_float32_sum():
    """2 x 10 million samples: a float32 counter would stop at 2^24."""
    X = np.repeat(
        np.array([[1.25], [1.75], [10.25], [10.75]], np.float32), 5_000_000, 0
    )
    result = kmeans(X, 2, init=X[[0, -1]], tol=0)
    assert result.centers.ravel().tolist() == [1.5, 10.5]
    assert result.inertia == 20_000_000 * 0.0625


@pytest.mark.slow
@pytest.mark.parametrize("n_features", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_forty_million_samples_have_the_right_centers(engine, n_features):
    """Peers add in float32, where a counter stops at 2^24."""
    X = np.empty((40_000_000, n_features), np.float32)
    rng = np.random.default_rng(0)
    rng.random(dtype=np.float32, out=X)
    X[::2] += 1
    X[1::2] += 10
    means = [X[start::2].mean(axis=0, dtype=np.float64) for start in (0, 1)]
    result = kmeans(X, 2, init=X[:2], engine=engine)
    assert np.array_equal(result.labels[::2], np.zeros(20_000_000, np.int32))
    assert np.array_equal(result.labels[1::2], np.ones(20_000_000, np.int32))
    # NumPy's pairwise sums of 2e7 numbers: far fewer than 2^10 roundings of 2^-53 on
    # the way of each, then one to float32.
    np.testing.assert_allclose(result.centers, means, rtol=2.0**-23, atol=0)
