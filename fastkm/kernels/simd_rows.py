"""Vector instructions on rows of samples: loads, sums in lanes, inner products.

As `simd`, for what is not a register tile. Every sum has the bits of its scalar form.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastkm.kernels.vectors import VECTOR_BYTES, Emitter, data, pointers, row

DOT_STEP = VECTOR_BYTES  # float32 numbers in the four vectors that `dot` takes at once
INTEGERS = VECTOR_BYTES // 2  # int16 numbers that `dot_integers` takes at once
TERMS = VECTOR_BYTES // 8  # columns that `add_terms` takes at once
ROWS = 2 * VECTOR_BYTES // 8  # samples that `row_distances` takes at once
# Scattered rows of one cache line to fetch ahead of their use, and fewer where they are
# longer. `sums.update` of a tenth of 1M x 8: 43 ns a row, where a few at once take 74,
# all of a block 100 and none 117: a core cannot keep so many outstanding.
AHEAD = 16


@intrinsic
def prefetch_row(typingctx, X, i):
    """Ask for the first cache line of X[i]."""

    def generate(context, builder, signature, arguments):
        kind, _ = signature.args
        start, _ = row(context, builder, kind, *arguments)
        Emitter(builder, kind.dtype).prefetch(start)
        return context.get_dummy_value()

    return types.none(X, types.int64), generate


@intrinsic
def prefetch_lines(typingctx, X, i):
    """Ask for all cache lines of X[i]: for rows of some hundred bytes."""

    def generate(context, builder, signature, arguments):
        kind, _ = signature.args
        start, n_features = row(context, builder, kind, *arguments)
        Emitter(builder, kind.dtype).prefetch_lines(start, n_features)
        return context.get_dummy_value()

    return types.none(X, types.int64), generate


@intrinsic
def load_rows(typingctx, X, rows, row_at, shift, out, stride, squares, square_at):
    """Load samples, less `shift`, transposed into `out`, as `tiles.load_block` says.

    The rows rows[row_at], ... of X, as many of them as a vector of `out` has lanes, to
    out [feature][stride]; the difference is rounded to the dtype of `out`, and to
    float64 before that where one of the three is not float32. squares[square_at:] get
    the sums of squares of what was stored. Meanwhile as many rows after these are asked
    for: their numbers must be readable, but may be any.
    """
    word = types.int64
    signature = types.none(X, rows, word, shift, out, word, squares, word)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        X, stride = arguments[0], arguments[5]
        emit = Emitter(builder, kinds[4].dtype)
        source = Emitter(builder, kinds[0].dtype)
        rows, squares = pointers(
            context, builder, signature, arguments, ((1, 2), (6, 7))
        )
        shift, out = (data(context, builder, kinds[a], arguments[a]) for a in (3, 4))

        def number(value):
            return ir.Constant(stride.type, value)

        def start_of(r):
            i = builder.load(emit.pointer(rows, r))
            return row(context, builder, kinds[0], X, i)

        pairs = [start_of(number(r)) for r in range(emit.width)]
        starts, n_features = [start for start, _ in pairs], pairs[0][1]
        shifts = Emitter(builder, kinds[3].dtype)
        offsets = ir.VectorType(shifts.element, emit.width)
        is_single = emit.element == source.element == shifts.element == ir.FloatType()
        total = cgutils.alloca_once(builder, emit.vector)
        builder.store(ir.Constant(emit.vector, None), total)

        def put(f, lines):
            for n, line in enumerate(lines):
                at = builder.mul(stride, builder.add(f, number(n)))
                emit.store(line, emit.pointer(out, at))
            square = emit.total([builder.fmul(line, line) for line in lines])
            builder.store(builder.fadd(builder.load(total), square), total)

        def packed(values, offset):
            if is_single:
                return builder.fsub(values, offset)
            values = builder.fsub(source.widened(values), shifts.widened(offset))
            if emit.element == ir.DoubleType():
                return values
            return builder.fptrunc(values, emit.vector)

        vector = ir.VectorType(source.element, emit.width)
        n_squares = builder.sdiv(n_features, number(emit.width))

        def share(r):  # of the squares: those to come after r / width of the rows
            return builder.sdiv(builder.mul(r, n_squares), number(emit.width))

        # Row by row: lines in the order of their addresses come sooner.
        with cgutils.for_range(builder, number(emit.width)) as loop:
            ahead, _ = start_of(builder.add(loop.index, number(emit.width)))
            source.prefetch_lines(ahead, n_features)
            first, last = share(loop.index), share(builder.add(loop.index, number(1)))
            with cgutils.for_range_slice(builder, first, last, number(1)) as (s, _):
                f = builder.mul(s, number(emit.width))
                offset = emit.load(emit.pointer(shift, f), offsets)
                lines = [
                    packed(source.load(emit.pointer(start, f), vector), offset)
                    for start in starts
                ]
                put(f, emit.transposed(lines))
        whole = builder.mul(n_squares, number(emit.width))
        with cgutils.for_range_slice(builder, whole, n_features, number(1)) as (f, _):
            offset = emit.splat(builder.load(emit.pointer(shift, f)), offsets)
            values = emit.gather([emit.pointer(start, f) for start in starts])
            put(f, [packed(values, offset)])
        emit.store(builder.load(total), squares)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_terms(typingctx, X, i, f, weight, totals, at, plane):
    """Add weight * X[i, f:f + TERMS] to exact sums.

    High parts are totals.flat[at:], low parts and slacks one and two planes further on:
    `exact.add_term` in lanes, the same operations, so the same bits.
    """
    word = types.int64
    signature = types.none(X, word, word, types.float64, totals, word, word)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        X, i, f, weight, totals, at, plane = arguments
        emit = Emitter(builder, types.float64)
        source = Emitter(builder, kinds[0].dtype)
        start, _ = row(context, builder, kinds[0], X, i)
        kind = ir.VectorType(source.element, emit.width)
        values = source.widened(source.load(emit.pointer(start, f), kind))
        term = builder.fmul(emit.splat(weight), values)

        def two_sum(a, b):
            total = builder.fadd(a, b)
            b_part = builder.fsub(total, a)
            a_part = builder.fsub(total, b_part)
            return total, builder.fadd(builder.fsub(a, a_part), builder.fsub(b, b_part))

        places = [emit.pointer(data(context, builder, kinds[4], totals), at)]
        for _ in range(2):
            places.append(emit.pointer(places[-1], plane))
        high, error = two_sum(emit.load(places[0]), term)
        low, lost = two_sum(emit.load(places[1]), error)
        negative = emit.less(lost, ir.Constant(emit.vector, None))
        size = builder.select(negative, builder.fneg(lost), lost)
        slack = builder.fadd(emit.load(places[2]), size)
        for value, place in zip((high, low, slack), places, strict=True):
            emit.store(value, place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def row_distances(typingctx, X, rows, row_at, centers, j, out, out_at):
    """Squared distances of the samples rows[row_at], ... to (float64) center j.

    ROWS of them, into out[out_at:]: `exact.distance` in lanes over samples, the same
    operations, so the same bits. Two vectors of samples, as an addition takes longer
    than a transposed load.
    """
    word = types.int64
    signature = types.none(X, rows, word, centers, word, out, word)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        X, centers, j = arguments[0], arguments[3], arguments[4]
        rows, out = pointers(context, builder, signature, arguments, ((1, 2), (5, 6)))
        emit = Emitter(builder, types.float64)
        center, n_features = row(context, builder, kinds[3], centers, j)
        starts = []
        for r in range(ROWS):
            i = builder.load(emit.at(rows, r))
            starts.append(row(context, builder, kinds[0], X, i)[0])
        pairs = [(start, center) for start in starts]
        _distances(emit, Emitter(builder, kinds[0].dtype), pairs, n_features, out)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def label_distances(typingctx, X, i, centers, labels, out):
    """As `row_distances`, of the samples i, i + 1, ... to the centers of their labels.

    Into out[i:].
    """
    signature = types.none(X, types.int64, centers, labels, out)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        X, i, centers = arguments[:3]
        labels, out = pointers(context, builder, signature, arguments, ((3, 1), (4, 1)))
        emit = Emitter(builder, types.float64)
        pairs = []
        for r in range(ROWS):
            own = builder.add(i, ir.Constant(i.type, r))
            start, n_features = row(context, builder, kinds[0], X, own)
            label = builder.sext(builder.load(emit.at(labels, r)), i.type)
            pairs.append((start, row(context, builder, kinds[2], centers, label)[0]))
        _distances(emit, Emitter(builder, kinds[0].dtype), pairs, n_features, out)
        return context.get_dummy_value()

    return signature, generate


def _distances(emit, source, pairs, n_features, out):
    """Squared distances of ROWS samples, each to a center of its own."""
    builder = emit.builder
    kind = ir.VectorType(source.element, emit.width)
    groups = [pairs[g : g + emit.width] for g in range(0, ROWS, emit.width)]
    sums = [cgutils.alloca_once(builder, emit.vector) for _ in groups]
    for slot in sums:
        builder.store(ir.Constant(emit.vector, None), slot)

    def number(value):
        return ir.Constant(n_features.type, value)

    def add(slot, square):
        builder.store(builder.fadd(builder.load(slot), square), slot)

    def squared(values, center):
        difference = builder.fsub(source.widened(values), center)
        return builder.fmul(difference, difference)

    n_squares = builder.sdiv(n_features, number(emit.width))
    with cgutils.for_range(builder, n_squares) as loop:
        first = builder.mul(loop.index, number(emit.width))
        lines = [
            [
                squared(
                    source.load(emit.pointer(sample, first), kind),
                    emit.load(emit.pointer(center, first)),
                )
                for sample, center in group
            ]
            for group in groups
        ]
        columns = [emit.transposed(group) for group in lines]
        for features in zip(*columns, strict=True):
            for slot, square in zip(sums, features, strict=True):
                add(slot, square)
    whole = builder.mul(n_squares, number(emit.width))
    with cgutils.for_range_slice(builder, whole, n_features, number(1)) as (f, _):
        for slot, group in zip(sums, groups, strict=True):
            values, centers = (
                emit.gather([emit.pointer(pair[side], f) for pair in group])
                for side in (0, 1)
            )
            add(slot, squared(values, centers))
    for g, slot in enumerate(sums):
        emit.store(builder.load(slot), emit.at(out, g * emit.width))


@intrinsic
def dot(typingctx, a, a_at, b, b_at, size):
    """Inner product of float32 vectors whose size is a multiple of DOT_STEP.

    No term goes through more than `dot_depth(size)` roundings.
    """
    word = types.int64
    signature = types.float32(a, word, b, word, word)

    def generate(context, builder, signature, arguments):
        emit = Emitter(builder, types.float32)
        a, b = pointers(context, builder, signature, arguments, ((0, 1), (2, 3)))
        size = arguments[4]
        n_sums = DOT_STEP // emit.width
        sums = [cgutils.alloca_once(builder, emit.vector) for _ in range(n_sums)]
        for slot in sums:
            builder.store(ir.Constant(emit.vector, None), slot)
        step = ir.Constant(size.type, DOT_STEP)
        with cgutils.for_range(builder, builder.sdiv(size, step)) as loop:
            start = builder.mul(loop.index, step)
            for v, slot in enumerate(sums):
                at = builder.add(start, ir.Constant(size.type, v * emit.width))
                left, right = (emit.load(emit.pointer(x, at)) for x in (a, b))
                builder.store(emit.fma(left, right, builder.load(slot)), slot)
        total = emit.total([builder.load(slot) for slot in sums])
        return emit.across(total, builder.fadd)

    return signature, generate


@intrinsic
def dot_integers(typingctx, a, a_at, b, b_at, size):
    """Inner product of int16 vectors whose size is a multiple of INTEGERS, in int32."""
    word = types.int64
    signature = types.int32(a, word, b, word, word)

    def generate(context, builder, signature, arguments):
        emit = Emitter(builder, types.int32)
        a, b = pointers(context, builder, signature, arguments, ((0, 1), (2, 3)))
        size = arguments[4]
        halves = ir.VectorType(ir.IntType(16), INTEGERS)
        slot = cgutils.alloca_once(builder, emit.vector)
        builder.store(ir.Constant(emit.vector, None), slot)
        step = ir.Constant(size.type, INTEGERS)
        with cgutils.for_range(builder, builder.sdiv(size, step)) as loop:
            at = builder.mul(loop.index, step)
            left, right = (emit.load(emit.pointer(x, at), halves) for x in (a, b))
            products = emit.pair_products(left, right)
            builder.store(builder.add(builder.load(slot), products), slot)
        return emit.across(builder.load(slot), builder.add)

    return signature, generate


def dot_depth(size: int) -> int:
    """Roundings that a term of `dot` goes through, at most."""
    width = VECTOR_BYTES // 4
    return size // DOT_STEP + 2 + (width.bit_length() - 1) + 1
