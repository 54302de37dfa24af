"""What is done with a kernel from its bytecode to LLVM's language: Numba's passes.

Those that kernels give something to do, each once. Left out are those that serve
closures, `with`, functions that are inlined as source, literals, array expressions, and
what people read about a function; and Numba's analysis of lifetimes, but for the last.
Variables are not split into one for each assignment, which LLVM does better: so all
that is assigned to a variable of a kernel must have one type.

Built on what Numba keeps to itself, as `_parts`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from numba.core import ir, types
from numba.core.analysis import dead_branch_prune, rewrite_semantic_constants
from numba.core.rewrites.static_getitem import (
    RewriteConstGetitems,
    RewriteConstSetitems,
)
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
        TranslateByteCode().run_pass(state)
        FixupArgs().run_pass(state)
        rewrite_semantic_constants(state.func_ir, state.args)
        dead_branch_prune(state.func_ir, state.args)
        find_constant_indices(state)
        repeated = separate_values(state.func_ir.blocks)
        NopythonTypeInference().run_pass(state)
        check_types(repeated, state.typemap)
        IRLegalization().run_pass(state)
        KernelLowering().run_pass(state)
        NoPythonBackend().run_pass(state)


def find_constant_indices(state: Any) -> None:
    """Mark the elements whose index is known: a tuple's have types of their own."""
    blocks = state.func_ir.blocks
    for kind in (RewriteConstGetitems, RewriteConstSetitems):
        rewrite = kind(state)
        for offset, block in blocks.items():
            if rewrite.match(state.func_ir, block, None, None):
                blocks[offset] = rewrite.apply()


def separate_values(blocks: dict[int, Any]) -> dict[str, list[str]]:
    """Give the values of names that are assigned more than once names of their own.

    For each such name those of its values. Numba takes the type of a constant for that
    of the name that it is assigned to.
    """
    given = defaultdict(list)
    for block in blocks.values():
        for each in block.find_insts(ir.Assign):
            given[each.target.name].append(each)
    repeated = {name: some for name, some in given.items() if len(some) > 1}
    for block in blocks.values():
        body = []
        for each in block.body:
            if isinstance(each, ir.Assign) and each.target.name in repeated:
                if not isinstance(each.value, ir.Var):
                    own = block.scope.make_temp(each.loc)
                    body.append(ir.Assign(each.value, own, each.loc))
                    each.value = own
            body.append(each)
        block.body = body
    return {name: [each.value.name for each in some] for name, some in repeated.items()}


def check_types(repeated: dict[str, list[str]], kinds: dict[str, Any]) -> None:
    """See to it that no variable is given numbers of several types."""
    for name, values in repeated.items():
        if name.startswith("$"):  # a conditional expression
            continue
        found = {types.unliteral(kinds[value]) for value in values}
        if len(found) > 1 and not all(isinstance(kind, types.Array) for kind in found):
            raise TypeError(f"{name} is given values of several types: {found}")
