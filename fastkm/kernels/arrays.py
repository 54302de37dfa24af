"""New arrays: what NumPy's functions of these names give, within kernels.

Numba compiles functions for every dtype and number of dimensions that its own are
called with: 21 of the 34 pieces of machine code that a first fit made. Here an
allocation is one call. The memory begins at a cache line, for the vectors of `simd`.
"""

from typing import Any

from numba import extending, types
from numba.core import cgutils

CACHE_LINE = 64  # bytes

intrinsic: Any = extending.intrinsic  # kernels are not typed


@intrinsic
def empty(typingctx, shape, dtype):
    """Uninitialised array of a shape, or vector of a length."""
    return _new(shape, dtype, clear=False)


@intrinsic
def zeros(typingctx, shape, dtype):
    """Array of zeros of a shape, or vector of a length."""
    return _new(shape, dtype, clear=True)


def _new(shape, dtype, clear):
    is_tuple = isinstance(shape, types.BaseTuple)
    lengths = list(shape) if is_tuple else [shape]
    kind = types.Array(dtype.dtype, len(lengths), "C")

    def generate(context, builder, signature, arguments):
        values = [arguments[0]]
        if is_tuple:
            values = cgutils.unpack_tuple(builder, arguments[0])
        sizes = [
            context.cast(builder, value, length, types.intp)
            for value, length in zip(values, lengths, strict=True)
        ]
        element = context.get_data_type(kind.dtype)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(element))
        steps = [itemsize]
        for size in reversed(sizes):
            steps.append(builder.mul(steps[-1], size))
        *strides, n_bytes = steps
        meminfo = context.nrt.meminfo_alloc_aligned(builder, n_bytes, CACHE_LINE)
        memory = context.nrt.meminfo_data(builder, meminfo)
        if clear:
            cgutils.memset(builder, memory, n_bytes, 0)
        array = cgutils.create_struct_proxy(kind)(context, builder)
        array.meminfo = meminfo
        array.data = builder.bitcast(memory, element.as_pointer())
        array.itemsize = itemsize
        array.nitems = builder.sdiv(n_bytes, itemsize)
        array.shape = cgutils.pack_array(builder, sizes)
        array.strides = cgutils.pack_array(builder, strides[::-1])
        return array._getvalue()

    return kind(shape, dtype), generate
