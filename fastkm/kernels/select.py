"""The lesser and the greater of two numbers, within kernels.

Of Python's min and max Numba makes machine code for every pair of types, in modules of
its own: a process that loads a kernel with such code imports them, and a child that was
forked while a thread imported them waits for ever. Here it is one instruction.
"""

from typing import Any

from numba import extending, types

intrinsic: Any = extending.intrinsic  # kernels are not typed


@intrinsic
def lesser(typingctx, a, b):
    """Give b where it is less than a, else a: as Python's min."""
    return _chosen(typingctx, a, b, "<")


@intrinsic
def greater(typingctx, a, b):
    """Give b where it is greater than a, else a: as Python's max."""
    return _chosen(typingctx, a, b, ">")


def _chosen(typingctx, a, b, relation):
    kind = typingctx.unify_types(types.unliteral(a), types.unliteral(b))

    def generate(context, builder, signature, arguments):
        a, b = arguments
        if isinstance(kind, types.Float):
            is_b = builder.fcmp_ordered(relation, b, a)
        elif kind.signed:
            is_b = builder.icmp_signed(relation, b, a)
        else:
            is_b = builder.icmp_unsigned(relation, b, a)
        return builder.select(is_b, b, a)

    return kind(kind, kind), generate
