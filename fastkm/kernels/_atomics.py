"""Numbers through which threads see each other while they run without the GIL.

Each is the first element of an array of int64. Who reads what another thread has
published also reads what that thread wrote before (release and acquire).
"""

from numba import types
from numba.extending import intrinsic

from fastkm.kernels.vectors import data, pause

ALIGN = 8


@intrinsic
def publish(typingctx, number, value):
    """Write the number, after everything that this thread has written."""

    def generate(context, builder, signature, arguments):
        pointer = data(context, builder, signature.args[0], arguments[0])
        builder.store_atomic(arguments[1], pointer, "release", ALIGN)
        return context.get_dummy_value()

    return types.void(number, types.int64), generate


@intrinsic
def look(typingctx, number):
    """Read the number, before everything that this thread reads then; and pause."""

    def generate(context, builder, signature, arguments):
        pointer = data(context, builder, signature.args[0], arguments[0])
        value = builder.load_atomic(pointer, "acquire", ALIGN)
        pause(builder)
        return value

    return types.int64(number), generate
