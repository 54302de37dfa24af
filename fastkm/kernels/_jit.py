"""The one place for Numba's options and its disk cache.

`serial` compiles a function, `nested` and `inlined` one that only kernels call.
`_threads.parallel` compiles one that runs on several threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba

from fastkm.kernels._cache import KernelCache

# Versions of Numba whose insides `_parts` and `_lowering` are known to fit: with others
# code might be wrong, and not only longer, so these compile in their own way.
KNOWN = {(0, 68)}

COMPILER: dict[str, Any] = {}
if numba.version_info.short in KNOWN:
    with contextlib.suppress(ImportError, AttributeError):  # as they say
        from fastkm.kernels._parts import KernelCompiler, Part

        COMPILER = {"pipeline_class": KernelCompiler}

__all__ = ["inlined", "nested", "rolled", "serial"]

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# No fastmath flag anywhere: the bits of distances and of error-free sums depend on
# every single rounding.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
OPTIONS["no_cfunc_wrapper"] = True  # for calls from C


def serial(function: Kernel) -> Kernel:
    """Compile a function when it is first called, or take it from the disk cache."""
    return _compile(function)


def nested(function: Kernel) -> Kernel:
    """Compile for kernels that call it, as a function of theirs."""
    return _compile_part(function)


def inlined(function: Kernel) -> Kernel:
    """Compile into the callers: a call would pass every array field by field."""
    return _compile_part(function, forceinline=True)


def rolled(function: Kernel) -> Kernel:
    """Mark a kernel whose loops are not to be unrolled, as that takes time.

    For kernels that run once or twice in a fit and wait for memory, or for their own
    last result. Of others, those that loop over 2 features need it: without,
    `blocks.descend` takes 1.5 times as long.
    """
    vars(function)["is_rolled"] = True
    return function


def _compile(function: Kernel, **options: Any) -> Kernel:
    compiled: Any = numba.njit(function, **OPTIONS, **COMPILER, **options)
    compiled._cache = KernelCache(function)
    return compiled


def _compile_part(function: Kernel, **options: Any) -> Kernel:
    if not COMPILER:
        return _compile(function, **options)
    compiled: Any = Part(function, {**OPTIONS, **options})
    return compiled
