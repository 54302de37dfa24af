"""Products of matrices, without the threads of BLAS where those would cost more.

They wait awake for the next product, some 30 ms, and keep the threads of the kernels
from work: whole fits of 10,000 x 128 samples, k=50, took 100 ms, and 57 without. BLAS
takes small products with the thread that calls it (OpenBLAS up to 2^18 terms).
"""

from __future__ import annotations

import numpy as np

from fastkm.engines.base import Array

MOST_TERMS = 2**18  # of a piece
NARROW = 32  # columns of a piece, if there are more
LARGE = 2**25  # terms of a product for whose sake the threads may wait
FEW = 2**13  # numbers whose reflections one thread takes


def product(a: Array, b: Array) -> Array:
    """Give a @ b of float64, in pieces unless it is large."""
    n_rows, n_columns, n_terms = len(a), b.shape[1], a.size * b.shape[1]
    if n_terms > LARGE:
        return np.asarray(a @ b)
    width = max(1, min(n_columns, NARROW))
    height = max(1, MOST_TERMS // max(1, len(b) * width))
    if n_rows <= height and n_columns <= width:
        return np.asarray(a @ b.copy())
    out = np.empty((n_rows, n_columns))
    for left in range(0, n_columns, width):
        # A copy: for a matrix and its transpose BLAS has a call that wakes threads.
        some = b[:, left : left + width].copy()
        for top in range(0, n_rows, height):
            piece = slice(top, top + height), slice(left, left + width)
            out[piece] = a[piece[0]] @ some
    return out


def orthonormal(a: Array) -> Array:
    """Orthonormal columns with the span of a's.

    Of few numbers by Householder's reflections. Else twice by Cholesky's factor, as
    Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, Roundoff error analysis of the
    CholeskyQR2 algorithm (2015), algorithm 2, unless the columns are too close to
    dependent for that. (OpenBLAS before that of NumPy 2 wakes threads for it, too.)
    """
    n_columns = a.shape[1]
    if a.size <= FEW:
        return np.linalg.qr(a)[0]
    with np.errstate(all="ignore"):
        try:
            q = a
            for _ in range(2):
                factor = np.linalg.cholesky(product(q.T, q))
                q = product(q, np.linalg.inv(factor).T)
        except np.linalg.LinAlgError:
            return np.linalg.qr(a)[0]
        off = np.abs(product(q.T, q) - np.eye(n_columns)).max()
    return q if off < 1e-12 else np.linalg.qr(a)[0]
