"""Numba's own modules, imported without SciPy.

Numba imports SciPy's linear algebra when it first compiles anything, only to see
whether it is there; what uses it asks for it again. That is 0.3 s of a first fit.

Built on what Numba keeps to itself, as `_parts`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from numba.core.compiler_lock import global_compiler_lock

__all__ = ["import_without_scipy"]


@global_compiler_lock
def import_without_scipy() -> None:
    """Import what asks for SciPy, where it is installed and not imported as yet."""
    if "numba.np.arraymath" in sys.modules or "scipy.linalg" in sys.modules:
        return
    from numba.np import linalg

    if find_spec("scipy") is None:
        return
    given = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = given
    vars(arraymath)["ensure_blas"] = given
