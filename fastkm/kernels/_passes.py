"""What is done with a kernel from its bytecode to LLVM's language: Numba's passes.

Those that kernels give something to do, each once. Left out are those that serve
closures, `with`, functions that are inlined as source, literals, array expressions, and
what people read about a function; and Numba's analysis of lifetimes, but for the last.
Variables are not split into one for each assignment, which LLVM does better: all that
is assigned to a variable of a kernel has one type.

Built on what Numba keeps to itself, as `_parts`.
"""

from __future__ import annotations

from typing import Any

from numba.core.analysis import dead_branch_prune, rewrite_semantic_constants
from numba.core.rewrites.static_getitem import RewriteConstGetitems, RewriteConstSetitems
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
)
from numba.core.untyped_passes import FixupArgs, TranslateByteCode

from fastkm.kernels._lowering import KernelLower

__all__ = ["KernelPasses"]


class KernelLowering(NativeLowering):
    """Numba's pass, with the lowering of this house."""

    lowering_class = KernelLower


class KernelPasses:
    """All passes, as a pipeline of Numba's compiler."""

    pipeline_name = "kernel"

    def __init__(self) -> None:
        self.exec_times: dict[str, float] = {}  # Numba asks for them

    def run(self, state: Any) -> None:
        """Compile the function of the state."""
        for each in (TranslateByteCode, FixupArgs):
            each().run_pass(state)
        rewrite_semantic_constants(state.func_ir, state.args)
        dead_branch_prune(state.func_ir, state.args)
        find_constant_indices(state)
        for each in (NopythonTypeInference, IRLegalization, KernelLowering):
            each().run_pass(state)
        NoPythonBackend().run_pass(state)


def find_constant_indices(state: Any) -> None:
    """Mark the elements whose index is known: a tuple's have types of their own."""
    blocks = state.func_ir.blocks
    for kind in (RewriteConstGetitems, RewriteConstSetitems):
        rewrite = kind(state)
        for offset, block in blocks.items():
            if rewrite.match(state.func_ir, block, None, None):
                blocks[offset] = rewrite.apply()
