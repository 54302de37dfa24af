"""Products and orthonormal columns, without waking the threads of BLAS."""

import time

import numpy as np
import pytest

from fastkm.engines import products
from fastkm.engines.basis import make_basis
from fastkm.engines.products import orthonormal, product


@pytest.mark.parametrize("terms", [1, 50, 2**18])
@pytest.mark.parametrize("shape", [(1, 1, 1), (70, 9, 65), (3, 200, 33), (5, 4, 0)])
def test_pieces_make_up_the_product(rng, shape, terms, monkeypatch):
    monkeypatch.setattr(products, "MOST_TERMS", terms)
    n_rows, n_inner, n_columns = shape
    a, b = rng.normal(size=(n_rows, n_inner)), rng.normal(size=(n_inner, n_columns))
    # Sums in another order: each is off by n_inner roundings of 2^-53 times the terms.
    bound = n_inner * 2.0**-52 * np.abs(a) @ np.abs(b)
    assert (np.abs(product(a, b) - a @ b) <= bound).all()
    assert (np.abs(product(a, b.T.copy().T) - a @ b) <= bound).all()


@pytest.mark.parametrize(
    "columns",
    [
        lambda rng: rng.normal(size=(300, 20)),
        lambda rng: rng.normal(size=(300, 20)) * 10.0 ** -np.arange(20),
        lambda rng: rng.normal(size=(300, 3)) @ rng.normal(size=(3, 20)),
        lambda rng: np.zeros((300, 20)),
        lambda rng: rng.normal(size=(300, 20)) * 1e-200,
    ],
    ids=["any", "graded", "dependent", "zero", "tiny"],
)
@pytest.mark.parametrize("few", [0, 10_000])
def test_columns_are_orthonormal_whatever_they_come_from(
    rng, columns, few, monkeypatch
):
    monkeypatch.setattr(products, "FEW", few)
    a = columns(rng)
    q = orthonormal(a)
    # What `orthonormal` itself asks for, or else it leaves it to reflections.
    assert np.abs(q.T @ q - np.eye(20)).max() < 1e-12
    # Sums of 300 terms: 300 roundings of 2^-53 of sqrt(300) max |a| are 6e-13, in the
    # products here, and fewer of one sign in q.
    assert np.abs(q @ (q.T @ a) - a).max() <= 1e-12 * np.abs(a).max()


OLD_BLAS = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0",
    reason="its OpenBLAS wakes threads for small factorizations as well",
)


@pytest.mark.parametrize("n_features", [16, 50, 128, pytest.param(300, marks=OLD_BLAS)])
def test_no_thread_is_left_waiting_awake(rng, n_features):
    """CPU time of this process while it sleeps, after a basis was made."""
    rows = rng.normal(size=(1024, n_features))
    time.sleep(0.1)  # those that another test has woken
    make_basis(rows, min(64, n_features * 3 // 4))
    before = time.process_time()
    time.sleep(0.03)
    # A thread that waits awake takes all of the 0.03 s, one that sleeps nothing.
    assert time.process_time() - before < 0.01
