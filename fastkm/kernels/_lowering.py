"""How typed kernels become LLVM's language: as Numba does it, less what they never use.

Numba writes for any Python function, and LLVM then works out what is not needed. What
kernels leave out is not written here to begin with, which is three instructions of
five:

- No index is negative, but for a literal one: an element is at one address.
- A `range` counts up, unless its step is a negative literal: its loop is a counter.
- Nothing raises an exception: a part returns no status that its caller asks for.
- Arrays that come as arguments, and what is looked up in these, outlive the call: only
  those that were made here have their references counted.
- A name that is assigned once is a value, and needs no memory: kernels assign it before
  they use it, whichever way they go.

Built on what Numba keeps to itself, as `_parts`.
"""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from typing import Any

from numba.core import cgutils, ir, types
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.lowering import Lower

from fastkm.kernels._references import kept, lent
from fastkm.kernels._signatures import signature_of

__all__ = ["KernelLower"]

FIELDS = {"shape": "shape", "size": "nitems", "itemsize": "itemsize"}  # of an array

# What the class below replaces.
NAMES = {"lower_function_body", "lower_block", "lower_inst", "lower_expr", "lower_call"}
NAMES |= {"lower_binop", "storevar", "loadvar", "_find_singly_assigned_variable"}
if not NAMES <= {*dir(Lower)}:
    raise ImportError("another way to lower")


class KernelLower(Lower):
    """Numba's, but for what the module says."""

    def init(self) -> None:
        """Find out which names are values, and which hold references."""
        super().init()
        self.given = defaultdict(list)
        for block in self.blocks.values():
            for each in block.find_insts(ir.Assign):
                self.given[each.target.name].append(each.value)
        models = self.context.data_model_manager
        holding = {
            name
            for name in self.given
            if models[self.typeof(name)].contains_nrt_meminfo()
        }
        self.kept = holding & kept(self.blocks, self.given)
        self.counted = holding - self.kept
        self.counted -= lent(self.counted, self.given)
        self._singly_assigned_vars |= {
            name
            for name, values in self.given.items()
            if len(values) == 1 and name not in self.counted
        }
        self.tuples: dict[str, Any] = {}  # that only indices may need
        self.counters: dict[str, Any] = {}  # of loops
        self.steps: dict[str, Any] = {}  # of these: the next number, whether it is one

    def lower_function_body(self) -> Any:
        """Write all blocks, each after those that all ways to it lead through."""
        for offset in self.blocks:
            self.blkmap[offset] = self.function.append_basic_block(f"B{offset}")
        self.pre_lower()
        entry_block_tail = self.builder.basic_block
        for offset in compute_cfg_from_blocks(self.blocks).topo_order():
            self.builder.position_at_end(self.blkmap[offset])
            self.lower_block(self.blocks[offset])
        self.post_lower()
        return entry_block_tail

    def lower_block(self, block: Any) -> None:
        self.pre_block(block)
        for each in block.body:
            self.loc = each.loc
            self.lower_inst(each)
        self.post_block(block)

    def lower_inst(self, inst: Any) -> None:
        if isinstance(inst, ir.Assign):
            self._assign(inst.target.name, inst)
        elif isinstance(inst, ir.Del):
            if inst.value in self.counted:
                self.delvar(inst.value)
        elif isinstance(inst, ir.Return):
            for name in self.kept:
                held = self.builder.load(self._slot(name))
                self.decref(self.typeof(name), held)
            super().lower_inst(inst)
        elif isinstance(inst, ir.SetItem):
            if not self._set_element(inst, inst.index):
                super().lower_inst(inst)
        elif isinstance(inst, ir.StaticSetItem):
            if not self._set_element(inst, inst.index_var):
                super().lower_inst(inst)
        else:
            super().lower_inst(inst)

    def _assign(self, name: str, inst: Any) -> None:
        value, kind = inst.value, self.typeof(name)
        if isinstance(kind, types.RangeIteratorType):
            self._begin_loop(name, value)
        elif isinstance(value, ir.Expr) and value.op == "iternext":
            self._step(name, value)
        elif self._is_index(name, kind, value):
            items = value.items
            self.tuples[name] = [self.loadvar(item.name) for item in items]
        else:
            # Of no others the references are counted.
            self.context.enable_nrt = name in self.counted or name in self.kept
            result = self.lower_assign(kind, inst)
            self.context.enable_nrt = True
            self.storevar(result, name)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        if name in self.counted:
            super().storevar(value, name, argidx)
        elif name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
            if name in self.kept:
                self.builder.store(value, self._slot(name))
        else:
            self.builder.store(value, self._slot(name))

    def _slot(self, name: str) -> Any:
        """Memory of a name; it begins with zeros."""
        if name not in self.varmap:
            self.varmap[name] = self.alloca(name, self.typeof(name))
        return self.varmap[name]

    def loadvar(self, name: str) -> Any:
        if name in self.tuples:
            values = self.tuples[name]
            return self.context.make_tuple(self.builder, self.typeof(name), values)
        return super().loadvar(name)

    def _is_index(self, name: str, kind: Any, value: Any) -> bool:
        """Whether it is a tuple of integers that is assigned once."""
        return (
            isinstance(value, ir.Expr)
            and value.op == "build_tuple"
            and name in self._singly_assigned_vars
            and all(
                self.typeof(item.name) == each and isinstance(each, types.Integer)
                for item, each in zip(value.items, kind, strict=True)
            )
        )

    def _begin_loop(self, name: str, value: Any) -> None:
        if isinstance(value, ir.Var):
            self.counters[name] = self.counters[value.name]
            return
        state = self.loadvar(value.value.name)
        start, stop, step = cgutils.unpack_tuple(self.builder, state, 3)
        number = cgutils.alloca_once(self.builder, start.type)
        # Counted up before each number: loops like that are those LLVM knows best.
        self.builder.store(self.builder.sub(start, step), number)
        relation = ">" if self._counts_down(value.value) else "<"
        self.counters[name] = number, stop, step, relation

    def _counts_down(self, state: Any) -> bool:
        while isinstance(state, ir.Var):
            state = self.given[state.name][0]
        if len(state.args) < 3:
            return False
        kind = self.typeof(state.args[2].name)
        return isinstance(kind, types.Literal) and kind.literal_value < 0

    def _step(self, name: str, value: Any) -> None:
        number, stop, step, relation = self.counters[value.value.name]
        this = self.builder.add(self.builder.load(number), step, flags=["nsw"])
        self.builder.store(this, number)
        is_one = self.builder.icmp_signed(relation, this, stop)
        self.steps[name] = this, is_one

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        if expr.op in ("pair_first", "pair_second") and expr.value.name in self.steps:
            return self.steps[expr.value.name][expr.op == "pair_second"]
        if expr.op == "getattr" and expr.attr in FIELDS:
            kind = self.typeof(expr.value.name)
            if isinstance(kind, types.Array):
                array = self.loadvar(expr.value.name)
                return self._field(kind, array, FIELDS[expr.attr])
        if expr.op in ("getitem", "static_getitem"):
            index = expr.index if expr.op == "getitem" else expr.index_var
            pointer = self._element(expr.value, index)
            if pointer is not None:
                kind = self.typeof(expr.value.name)
                value = items().load_item(self.context, self.builder, kind, pointer)
                return self.context.cast(self.builder, value, kind.dtype, resty)
        return super().lower_expr(resty, expr)

    def lower_call(self, resty: Any, expr: Any) -> Any:
        function = self.typeof(expr.func.name)
        if getattr(function, "typing_key", None) is not range:
            return super().lower_call(resty, expr)
        kinds = self.fndesc.calltypes[expr].args
        bounds = [self._cast_var(*each) for each in zip(expr.args, kinds, strict=True)]
        if len(bounds) == 1:
            bounds.insert(0, bounds[0].type(0))
        if len(bounds) == 2:
            bounds.append(bounds[0].type(1))
        return cgutils.make_anonymous_struct(self.builder, bounds)

    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        if op in (operator.pow, operator.ipow):
            return super().lower_binop(resty, expr, op)
        signature = self.fndesc.calltypes[expr]
        typing_context = self.context.typing_context
        function = typing_context.resolve_value_type(op)
        operands = zip((expr.lhs, expr.rhs), signature.args, strict=True)
        values = [self._cast_var(*each) for each in operands]
        exact = signature_of(typing_context, function, signature.args)
        result = self.context.get_function(function, exact)(self.builder, values)
        return self.context.cast(self.builder, result, signature.return_type, resty)

    def _field(self, kind: Any, array: Any, field: str, *axis: int) -> Any:
        place = self.context.data_model_manager[kind].get_field_position(field)
        return self.builder.extract_value(array, [place, *axis])

    def _element(self, array: Any, index: Any) -> Any:
        """Address of an element; None where the index is of another kind."""
        kind = self.typeof(array.name)
        if not isinstance(kind, types.Array) or index is None:
            return None
        by = self.typeof(index.name)
        is_tuple = isinstance(by, types.BaseTuple)
        kinds = list(by) if is_tuple else [by]
        if len(kinds) != kind.ndim or not all(map(is_place, kinds)):
            return None
        if index.name in self.tuples:
            places = self.tuples[index.name]
        elif is_tuple:
            places = cgutils.unpack_tuple(self.builder, self.loadvar(index.name))
        else:
            places = [self.loadvar(index.name)]
        builder, value = self.builder, self.loadvar(array.name)
        places = [
            self.context.cast(builder, place, each, types.intp)
            for place, each in zip(places, kinds, strict=True)
        ]
        data = self._field(kind, value, "data")
        if kind.layout != "C":
            n_bytes = [
                builder.mul(place, self._field(kind, value, "strides", axis))
                for axis, place in enumerate(places)
            ]
            offset = functools.reduce(builder.add, n_bytes)
            return cgutils.pointer_add(builder, data, offset)
        offset = places[0]
        for axis, place in enumerate(places[1:], 1):
            length = self._field(kind, value, "shape", axis)
            offset = builder.mul(offset, length, flags=["nsw"])
            offset = builder.add(offset, place, flags=["nsw"])
        return builder.gep(data, [offset], inbounds=True)

    def _set_element(self, inst: Any, index: Any) -> bool:
        pointer = self._element(inst.target, index)
        if pointer is None:
            return False
        kind = self.typeof(inst.target.name)
        given = self.fndesc.calltypes[inst].args[2]
        value = self._cast_var(inst.value, given)
        value = self.context.cast(self.builder, value, given, kind.dtype)
        items().store_item(self.context, self.builder, kind, value, pointer)
        return True


def items() -> Any:
    """Give Numba's module for elements of arrays: 45 ms, for who compiles alone."""
    from numba.np import arrayobj

    return arrayobj


def is_place(kind: Any) -> bool:
    """Whether an index of a type is a place from the beginning."""
    is_negative = isinstance(kind, types.Literal) and kind.literal_value < 0
    return isinstance(kind, types.Integer) and not is_negative
