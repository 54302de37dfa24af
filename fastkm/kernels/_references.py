"""Which names in a kernel need their references counted: few.

Built on what Numba keeps to itself, as `_parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numba.core import ir
from numba.core.analysis import compute_cfg_from_blocks

__all__ = ["kept", "lent"]

# What these expressions give belongs to what they are made of.
LOOKUPS = {"getitem", "static_getitem", "exhaust_iter", "build_tuple", "undef", "null"}


def kept(blocks: Mapping[int, Any], given: Mapping[str, list[Any]]) -> set[str]:
    """Names that only ever hold what one call gave, outside of all loops.

    It can be given back at the end. `given` are the values that each name is assigned.
    """
    loops = compute_cfg_from_blocks(blocks).loops().values()
    repeated = {offset for loop in loops for offset in loop.body}
    return {
        each.target.name
        for offset, block in blocks.items()
        if offset not in repeated
        for each in block.find_insts(ir.Assign)
        if isinstance(each.value, ir.Expr)
        and each.value.op == "call"
        and len(given[each.target.name]) == 1
    }


def lent(names: set[str], given: Mapping[str, list[Any]]) -> set[str]:
    """Those of the names that hold only arguments, other names' arrays, or their parts.

    Of which other names, that goes for all but for those that are among `names` and
    not lent: what the caller holds, or what is kept, outlives them.
    """
    found, before = names, None
    while found != before:
        before = found
        others = names - found
        found = {
            name
            for name in found
            if all(_lends(value, others) for value in given[name])
        }
    return found


def _lends(value: Any, others: set[str]) -> bool:
    if isinstance(value, ir.Expr):
        return value.op in LOOKUPS and not any(
            variable.name in others for variable in value.list_vars()
        )
    if isinstance(value, ir.Var):
        return value.name not in others
    return isinstance(value, ir.Arg)
