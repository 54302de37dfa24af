"""Images in small integers, which may lie apart only where the samples do."""

import numpy as np
import pytest
from cases import DTYPES, SPECIAL
from numba import njit

from fastkm import reference
from fastkm.engines import basis
from fastkm.engines.basis import make_basis
from fastkm.engines.integers import SQUARES, rounding
from fastkm.engines.sieves import TINY, Sieves, no_images
from fastkm.kernels import integers, simd_rows
from fastkm.kernels.integers import (
    BIAS,
    LARGEST_BYTE,
    LARGEST_NORM,
    ROUNDED,
    limit_of,
    reach_of,
)
from fastkm.kernels.tiles import LARGEST_REACH
from fastkm.kernels.vectors import GROUP

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def images_of(values, shift, how):
    """Integers and squared norms."""
    rows = np.zeros(values.shape, np.int16)
    norms = np.empty(len(values), np.int32)
    integers.round_rows(2, values, shift, how.scale, how.radius, rows, norms)
    return rows, norms


def check_reach(
    X, others, squares, rows, norms, other_rows, margin, *, scale=1.0, losses=None,
    loss=0.0, most=SQUARES,
):  # fmt: skip
    """Nobody is out of reach who is nearer by the least possible amount."""
    losses = np.zeros(len(X)) if losses is None else losses.astype("f8")
    distances = reference.squared_distances(X.astype("f8"), others.astype("f8"))
    whole, other_whole = rows.astype(object), other_rows.astype(object)
    other_norms = (other_whole**2).sum(axis=1)
    scores = other_norms - 2 * whole @ other_whole.T
    assert ((whole**2).sum(axis=1) == norms).all() and norms.max() <= most
    for (i, c), score in np.ndenumerate(scores):
        reach = scale * reach_of(distances[i, c], squares[i], margin)
        assert score <= limit_of(reach + losses[i] + loss, int(norms[i]))


def squares_about(X, shift):
    return reference.squared_distances(X.astype("f8"), shift[None])[:, 0]


@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
def test_all_features(special, dtype):
    X = SPECIAL[special](dtype).X
    shift = X[::3].mean(axis=0, dtype="f8")
    how = rounding(X[::2] - shift, X.shape[1])
    rows, norms = images_of(X, shift, how)
    some = slice(None, None, max(1, len(X) // 12))
    squares = squares_about(X, shift)
    check_reach(X, X[some], squares, rows, norms, rows[some], how.margin)


@every_dtype
@pytest.mark.parametrize("special", SPECIAL)
def test_coordinates_and_the_rest(special, dtype):
    """Of samples and of centers; the leading ones as well."""
    X = SPECIAL[special](dtype).X
    sieves = Sieves(X, 1)
    squares = squares_about(X, sieves.shift)
    serves = squares < LARGEST_REACH
    centers = X[:: max(1, len(X) // 12)][:12].astype("f8") * 1.0001
    reach = squares_about(centers, sieves.shift)
    centers = centers[reach < LARGEST_REACH]  # the engine sees to that
    if not serves.any() or not len(centers):
        return
    images, other = sieves.images(X, 1), sieves.images(centers, 1)
    margin = sieves.rounding.margin
    found = X[serves], centers, squares[serves]
    check_reach(*found, *(v[serves] for v in images), other.integers, margin)
    for n_lead in {1, min(7, sieves.n_coordinates), sieves.n_coordinates}:
        short, others = (no_images(len(v.norms), n_lead + 1) for v in (images, other))
        for some, to in ((images, short), (other, others)):
            integers.shorten(1, some.integers, n_lead, *to)
        wider = margin + np.array([0, 0, ROUNDED])
        check_reach(*found, *(v[serves] for v in short), others.integers, wider)

        sieves.use_lead(n_lead, 0.0)
        lead, other_lead = sieves.lead(images, 1), sieves.lead(other, 1)
        same = sieves.lead(images, 1, bias=BIAS).numbers
        assert (same[:, : n_lead + 1] == lead.numbers[:, : n_lead + 1] + BIAS).all()
        assert same.min() >= 0
        check_reach(
            *found, lead.numbers[serves], lead.norms[serves], other_lead.numbers,
            margin, scale=sieves.scale, losses=lead.losses[serves],
            loss=float(other_lead.losses.max()) + TINY, most=LARGEST_NORM**2,
        )  # fmt: skip


@every_dtype
@pytest.mark.parametrize("shape", [(50, 40), (300, 40), (20, 400)])
def test_coordinates_are_within_their_error(shape, dtype, rng):
    """|y~ - Q'x| <= error |x|, and the rest is an upper bound: against longdouble."""
    X = rng.normal(size=shape).astype(dtype)
    sieves = Sieves(X, 2)
    n = sieves.basis.n_coordinates
    u, _, v = np.linalg.svd(sieves.basis.directions(), full_matrices=False)
    x = X.astype(np.longdouble) - sieves.shift
    exact = x @ (u @ v).astype(np.longdouble)
    norms = np.sqrt((x**2).sum(axis=1))
    coordinates = sieves._project(X, 2)
    errors = np.sqrt(((coordinates[:, :n] - exact) ** 2).sum(axis=1))
    assert (errors <= sieves.basis.error * norms).all()
    rest = np.sqrt(np.maximum((x**2).sum(axis=1) - (exact**2).sum(axis=1), 0))
    assert (coordinates[:, -1] >= rest).all()
    most = np.sqrt(rest**2 + 2.1 * sieves.basis.rest_error * norms**2)
    # Rounded up, also 0.
    assert (coordinates[:, -1] <= most * (1 + 2.0**-22) + 2.0**-149).all()


def test_values_whose_squares_overflow_get_some_basis(rng):
    rows = rng.uniform(-1, 1, size=(50, 20)) * 1.5e308
    assert basis.make_basis(rows, 10).error < 1e-6


def test_an_outlier_does_not_blur_the_others(rng):
    X = rng.normal(size=(2000, 5))
    plain = images_of(X, np.zeros(5), rounding(X, 5))
    X[77] = 1e9
    again = images_of(X, np.zeros(5), rounding(X, 5))
    assert np.median(again[1]) > 0.9 * np.median(plain[1])
    assert np.abs(again[0]).max() <= integers.LARGEST


@pytest.mark.parametrize("n_features", [1, 10, 500])
def test_the_largest_sum_of_squares_is_made_use_of(n_features, rng):
    """For any number of features; few samples are moved to the surface of the ball."""
    X = rng.normal(size=(1000, n_features)) * rng.choice(
        [1.0, 3.0], (1000, 1), p=[0.99, 0.01]
    )
    how = rounding(X, n_features)
    rows, norms = images_of(X, np.zeros(n_features), how)
    largest = min(SQUARES, n_features * integers.LARGEST**2)
    assert largest / 12 < np.quantile(norms, 0.98) < norms.max() <= largest
    is_far = np.linalg.norm(X, axis=1) * how.scale > how.radius
    if n_features == 500:
        assert is_far.any() and norms[is_far].min() > 0.99 * SQUARES
        cosines = (X * rows).sum(axis=1) / np.linalg.norm(X, axis=1) / np.sqrt(norms)
        assert cosines.min() > 0.999
    squares = squares_about(X, np.zeros(n_features))
    some = [*np.flatnonzero(is_far)[:3].tolist(), 0, 1]
    check_reach(
        X[::50], X[some], squares[::50], rows[::50], norms[::50], rows[some], how.margin
    )


def test_degenerate_numbers_have_an_extent():
    for value in (0.0, 1e-320, 1e308, np.inf):
        how = rounding(np.full((9, 3), value), 3)
        assert 0 < how.scale < 1e43


def test_centers_are_packed_in_groups(rng):
    rows = rng.integers(-LARGEST_BYTE, LARGEST_BYTE, (GROUP + 1, 8)).astype(np.int8)
    packed, norms = np.empty(2 * GROUP * 8, np.int8), np.empty(2 * GROUP, np.int32)
    offsets = np.empty((2 * GROUP, 2), np.int16)
    given = rows, np.arange(GROUP + 1, dtype="i4")
    integers.pack_centers(*given, packed, offsets, norms)
    groups = packed.reshape(2, 2, GROUP, 4).transpose(0, 2, 1, 3).reshape(-1, 8)
    np.testing.assert_array_equal(groups[: GROUP + 1], rows)
    assert not groups[GROUP + 1 :].any() and not offsets[GROUP + 1 :].any()
    sums = rows.reshape(-1, 2, 2, 2).sum(axis=(1, 3), dtype=np.int64)
    np.testing.assert_array_equal(offsets[: GROUP + 1], -BIAS * sums)
    assert norms[: GROUP + 1].tolist() == list(range(GROUP + 1))
    assert (norms[GROUP + 1 :] == integers.HIGHEST).all()


@njit
def dots(a, b, size):
    return simd_rows.dot(a, 0, b, 0, size)


def test_a_product_of_floats_is_within_its_error(rng):
    size = 3 * simd_rows.DOT_STEP
    a, b = rng.normal(size=(2, size)).astype("f4")
    exact = float(a.astype("f8") @ b.astype("f8"))
    bound = simd_rows.dot_depth(size) * 2.0**-24 * float(np.abs(a) @ np.abs(b))
    assert abs(dots(a, b, size) - exact) <= 1.01 * bound


def test_a_basis_is_orthonormal(rng):
    directions = make_basis(rng.normal(size=(60, 30)), 10).directions()
    np.testing.assert_allclose(directions.T @ directions, np.eye(10), atol=1e-12)
