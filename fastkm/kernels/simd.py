"""Vector instructions: a register tile of samples x centers, a transposed load.

Numba has no vector types and does not turn unrolled scalars into vectors, so the two
loops that decide the speed are written as LLVM vectors through `@intrinsic`.

`tile` holds VECTORS vectors of samples (one sample per lane) times GROUP centers
(broadcast) in registers while it walks over the features, and then brings every lane's
best center up to date. Both operands are packed so that one
pointer walks through each: samples as [feature][lane], centers as [feature][center].

Widths follow the features that Numba compiles for, `NUMBA_CPU_NAME` and
`NUMBA_CPU_FEATURES` included: 32 registers of 64 bytes (AVX-512) or of 16 (NEON) hold
4 x 6 accumulators, 16 registers of 32 (AVX) or of 16 bytes hold 2 x 6, and both leave
room for the operands.
"""

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastkm.kernels._jit import serial

GROUP = 6  # centers in a register tile


def target_features() -> set[str]:
    """Give the CPU features that Numba compiles for."""
    given = vars(numba.config)["CPU_FEATURES"]
    if given is None and vars(numba.config)["CPU_NAME"] is None:
        return {name for name, on in llvm.get_host_cpu_features().items() if on}
    return {name[1:] for name in (given or "").split(",") if name.startswith("+")}


FEATURES = target_features()
IS_ARM = llvm.get_process_triple().startswith(("aarch64", "arm64"))
HAS_FMA = IS_ARM or "fma" in FEATURES
VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx" in FEATURES else 16
VECTORS = 4 if IS_ARM or "avx512f" in FEATURES else 2


def tile_lanes(dtype: type) -> int:
    """Samples in a register tile."""
    return VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


LANES_32 = tile_lanes(np.float32)
LANES_64 = tile_lanes(np.float64)
MASK = np.dtype(f"uint{LANES_32}")  # one bit for each sample of a float32 tile
DOT_STEP = VECTOR_BYTES  # float32 numbers in four vectors
LANES = LANES_32  # a multiple of both: blocks of samples are made of these


def dot_depth(size: int) -> int:
    """Roundings that a term of `dot` goes through, at most."""
    width = VECTOR_BYTES // 4
    return size // DOT_STEP + 2 + (width.bit_length() - 1) + 1


class _Emitter:
    """LLVM instructions on vectors of one element type."""

    def __init__(self, builder, dtype):
        self.builder = builder
        self.element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        bits = dtype.bitwidth
        self.width = VECTOR_BYTES * 8 // bits
        self.vector = ir.VectorType(self.element, self.width)
        self.align = bits // 8
        self.fma_name = f"llvm.fma.v{self.width}f{bits}"

    def pointer(self, base, offset):
        return self.builder.gep(base, [offset])

    def load(self, pointer, vector=None):
        vector = vector or self.vector
        pointer = self.builder.bitcast(pointer, vector.as_pointer())
        return self.builder.load(pointer, align=self.align)

    def store(self, value, pointer):
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, pointer, align=self.align)

    def splat(self, scalar, vector=None):
        undefined = ir.Constant(vector or self.vector, ir.Undefined)
        index = ir.Constant(ir.IntType(32), 0)
        single = self.builder.insert_element(undefined, scalar, index)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.width), None)
        return self.builder.shuffle_vector(single, undefined, mask)

    def fma(self, a, b, c):
        if not HAS_FMA:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, self.fma_name
        )
        return self.builder.call(function, [a, b, c])

    def prefetch(self, pointer):
        """Ask for a cache line that will be read soon; harmless past the end."""
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, "llvm.prefetch.p0"
        )
        read, near, data = (ir.Constant(word, value) for value in (0, 3, 1))
        pointer = self.builder.bitcast(pointer, byte)
        self.builder.call(function, [pointer, read, near, data])

    def less(self, a, b):
        return self.builder.fcmp_ordered("<", a, b)

    def minimum(self, a, b):
        return self.builder.select(self.less(a, b), a, b)

    def maximum(self, a, b):
        return self.builder.select(self.less(b, a), a, b)

    def any(self, masks):
        """Whether a lane of one of the masks is set."""
        joined = masks[0]
        for mask in masks[1:]:
            joined = self.builder.or_(joined, mask)
        bits = self.builder.bitcast(joined, ir.IntType(self.width))
        return self.builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))


def _data(context, builder, kind, array):
    """Pointer to the first element of an array."""
    return cgutils.create_struct_proxy(kind)(context, builder, array).data


@intrinsic
def tile(
    typingctx,
    samples,
    sample_at,
    centers,
    center_at,
    n_features,
    resume,
    finish,
    partial,
    partial_at,
    norms,
    norm_at,
    first_center,
    best,
    second,
    index,
    lane_at,
):
    """Scores of a register tile, the best two kept per lane; or exact distances.

    samples[sample_at:] is [feature][lane], centers[center_at:] is [feature][center]
    and negated: the score of a center is norm - sample . center, summed by fused
    multiply-adds where the CPU has them. With `second` None, centers are as they are
    and a score is the squared distance, every operation rounded on its own and
    features in ascending order: `reference.squared_distances`.

    `n_features` features are walked over. With `resume` the sums go on from
    partial[partial_at:] ([center][lane]); without `finish` they are left there, else
    norms[norm_at:] are added (to scores) and best, second and index[lane_at:] brought
    up to date; the tile's centers are first_center, first_center + 1, ... and an index
    is kept in the dtype of the samples, as every number in a tile.
    """
    word, flag = types.int64, types.boolean
    signature = types.none(
        *(samples, word, centers, word, word, flag, flag, partial, word),
        *(norms, word, word, best, second, index, word),
    )
    is_distance = second == types.none

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        emit = _Emitter(builder, kinds[0].dtype)

        def pointer(argument, offset):
            data = _data(context, builder, kinds[argument], arguments[argument])
            return emit.pointer(data, arguments[offset])

        x, c = pointer(0, 1), pointer(2, 3)
        n_features, resume, finish = arguments[4:7]
        partial, norms = pointer(7, 8), pointer(9, 10)
        best, index = pointer(12, 15), pointer(14, 15)
        second = None if is_distance else pointer(13, 15)
        lanes = VECTORS * emit.width
        cells = [(r, v) for r in range(GROUP) for v in range(VECTORS)]

        def number(value):
            return ir.Constant(n_features.type, value)

        def place(r, v):
            return emit.pointer(partial, number(r * lanes + v * emit.width))

        # Accumulators live in stack slots that LLVM turns into registers.
        sums = {cell: cgutils.alloca_once(builder, emit.vector) for cell in cells}
        with builder.if_else(resume) as (then, otherwise):
            with then:
                for cell, slot in sums.items():
                    builder.store(emit.load(place(*cell)), slot)
            with otherwise:
                for slot in sums.values():
                    builder.store(ir.Constant(emit.vector, None), slot)

        _walk(emit, x, c, n_features, sums, is_distance)
        with builder.if_else(finish) as (then, otherwise):
            with otherwise:
                for cell, slot in sums.items():
                    emit.store(builder.load(slot), place(*cell))
            with then:
                scores = {cell: builder.load(slot) for cell, slot in sums.items()}
                if not is_distance:
                    for r in range(GROUP):
                        norm = emit.splat(builder.load(emit.pointer(norms, number(r))))
                        for v in range(VECTORS):
                            scores[r, v] = builder.fadd(scores[r, v], norm)
                _update(emit, scores, arguments[11], best, second, index)
        return context.get_dummy_value()

    return signature, generate


def _walk(emit, x, c, n_features, sums, is_distance=False):
    """Add the features of a tile of samples and a group of centers to the sums."""
    builder = emit.builder

    def number(value):
        return ir.Constant(n_features.type, value)

    with cgutils.for_range(builder, n_features) as loop:
        row = emit.pointer(x, builder.mul(loop.index, number(VECTORS * emit.width)))
        column = emit.pointer(c, builder.mul(loop.index, number(GROUP)))
        vectors = [
            emit.load(emit.pointer(row, number(v * emit.width))) for v in range(VECTORS)
        ]
        for r in range(GROUP):
            center = emit.splat(builder.load(emit.pointer(column, number(r))))
            for v, vector in enumerate(vectors):
                total = builder.load(sums[r, v])
                if is_distance:
                    difference = builder.fsub(vector, center)
                    square = builder.fmul(difference, difference)
                    total = builder.fadd(total, square)
                else:
                    total = emit.fma(vector, center, total)
                builder.store(total, sums[r, v])


def _update(emit, scores, first_center, best, second, index):
    """Bring best and second best score and index of each lane up to date with a tile.

    Most tiles of a long list of centers improve no lane: they are passed after one
    minimum per center. Strict comparisons in ascending order keep the lowest index.
    """
    builder = emit.builder

    def at(pointer, v):
        return emit.pointer(pointer, ir.Constant(ir.IntType(64), v * emit.width))

    improved = []
    for v in range(VECTORS):
        least = scores[0, v]
        for r in range(1, GROUP):
            least = emit.minimum(scores[r, v], least)
        limit = emit.load(at(best if second is None else second, v))
        improved.append(emit.less(least, limit))
    with builder.if_then(emit.any(improved), likely=False):
        first = builder.sitofp(first_center, emit.element)
        for v in range(VECTORS):
            lead = emit.load(at(best, v))
            label = emit.load(at(index, v))
            runner = None if second is None else emit.load(at(second, v))
            for r in range(GROUP):
                score = scores[r, v]
                closer = emit.less(score, lead)
                if runner is not None:
                    runner = emit.minimum(emit.maximum(score, lead), runner)
                lead = builder.select(closer, score, lead)
                center = builder.fadd(first, ir.Constant(emit.element, r))
                label = builder.select(closer, emit.splat(center), label)
            emit.store(lead, at(best, v))
            emit.store(label, at(index, v))
            if runner is not None:
                emit.store(runner, at(second, v))


@intrinsic
def sift(
    typingctx,
    samples,
    sample_at,
    centers,
    center_at,
    n_features,
    norms,
    norm_at,
    limits,
    limit_at,
    masks,
    mask_at,
):
    """Which scores of a register tile are not above the limit of their lane.

    Scores as in `tile`. masks[mask_at + r] gets one bit per lane for center r of the
    group, set where norm - sample . center <= limits[limit_at + lane] or the score is
    not a number.
    """
    word = types.int64
    signature = types.none(
        *(samples, word, centers, word, word, norms, word, limits, word, masks, word)
    )

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        emit = _Emitter(builder, kinds[0].dtype)

        def pointer(argument):
            data = _data(context, builder, kinds[argument], arguments[argument])
            return emit.pointer(data, arguments[argument + 1])

        x, c, norms, limits, masks = (pointer(argument) for argument in (0, 2, 5, 7, 9))
        word = ir.IntType(kinds[9].dtype.bitwidth)

        def at(base, offset):
            return emit.pointer(base, ir.Constant(ir.IntType(64), offset))

        sums = {}
        for r in range(GROUP):
            norm = emit.splat(builder.load(at(norms, r)))
            for v in range(VECTORS):
                sums[r, v] = cgutils.alloca_once(builder, emit.vector)
                builder.store(norm, sums[r, v])
        _walk(emit, x, c, arguments[4], sums)
        limit = [emit.load(at(limits, v * emit.width)) for v in range(VECTORS)]
        for r in range(GROUP):
            mask = ir.Constant(word, 0)
            for v in range(VECTORS):
                near = builder.fcmp_unordered("<=", builder.load(sums[r, v]), limit[v])
                bits = builder.bitcast(near, ir.IntType(emit.width))
                if word.width > emit.width:
                    bits = builder.zext(bits, word)
                bits = builder.shl(bits, ir.Constant(word, v * emit.width))
                mask = builder.or_(mask, bits)
            builder.store(mask, at(masks, r))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def lowest_bit(typingctx, word):
    """Index of the lowest bit that is set in a word that is not 0."""

    def generate(context, builder, signature, arguments):
        (word,) = arguments
        found = builder.cttz(word, ir.Constant(ir.IntType(1), 1))
        return builder.zext(found, ir.IntType(64)) if word.type.width < 64 else found

    return types.int64(word), generate


@intrinsic
def dot(typingctx, a, a_at, b, b_at, size):
    """Inner product of float32 vectors whose size is a multiple of DOT_STEP.

    No term goes through more than `dot_depth(size)` roundings.
    """
    word = types.int64
    signature = types.float32(a, word, b, word, word)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        emit = _Emitter(builder, types.float32)
        a, b = (
            emit.pointer(
                _data(context, builder, kinds[argument], arguments[argument]),
                arguments[argument + 1],
            )
            for argument in (0, 2)
        )
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
                left, right = (
                    emit.load(emit.pointer(a, at)),
                    emit.load(emit.pointer(b, at)),
                )
                builder.store(emit.fma(left, right, builder.load(slot)), slot)
        totals = [builder.load(slot) for slot in sums]
        while len(totals) > 1:
            totals = [
                builder.fadd(one, other)
                for one, other in zip(totals[::2], totals[1::2], strict=True)
            ]
        total, half = totals[0], emit.width // 2
        undefined = ir.Constant(emit.vector, ir.Undefined)
        while half:
            lanes = [(lane + half) % emit.width for lane in range(emit.width)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), emit.width), lanes)
            moved = builder.shuffle_vector(total, undefined, mask)
            total, half = builder.fadd(total, moved), half // 2
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return signature, generate


@intrinsic
def load_square(
    typingctx, X, rows, row_at, shift, feature, out, out_at, stride, squares, square_at
):
    """Load a square of samples x features, less `shift`, transposed into `out`.

    The rows rows[row_at], ... of X, as many of them and as many features from `feature`
    on as a vector of `out` has lanes; the difference is taken in float64 and rounded to
    the dtype of `out`. The sums of squares[square_at:] go on with what was stored.
    """
    word = types.int64
    signature = types.none(X, rows, word, shift, word, out, word, word, squares, word)
    return signature, _load_code(whole_vectors=True)


@intrinsic
def load_column(
    typingctx, X, rows, row_at, shift, feature, out, out_at, stride, squares, square_at
):
    """Load one feature as `load_square` loads a vector of them."""
    word = types.int64
    signature = types.none(X, rows, word, shift, word, out, word, word, squares, word)
    return signature, _load_code(whole_vectors=False)


def _load_code(whole_vectors):
    def generate(context, builder, signature, arguments):
        kinds = signature.args
        X, rows, row_at, shift, feature, out, out_at, stride, squares, at = arguments
        emit = _Emitter(builder, kinds[5].dtype)
        source = _Emitter(builder, kinds[0].dtype)
        doubles = ir.VectorType(ir.DoubleType(), emit.width)
        samples = cgutils.create_struct_proxy(kinds[0])(context, builder, X)
        n_features = builder.extract_value(samples.shape, 1)
        shift = emit.pointer(_data(context, builder, kinds[3], shift), feature)
        rows = emit.pointer(_data(context, builder, kinds[1], rows), row_at)
        pointers = []
        for r in range(emit.width):
            row = builder.load(emit.pointer(rows, ir.Constant(row_at.type, r)))
            start = builder.add(builder.mul(row, n_features), feature)
            pointers.append(emit.pointer(samples.data, start))

        def packed(values, offset):
            if source.element != doubles.element:
                values = builder.fpext(values, doubles)
            values = builder.fsub(values, offset)
            if emit.element != doubles.element:
                values = builder.fptrunc(values, emit.vector)
            return values

        if whole_vectors:
            vector = ir.VectorType(source.element, emit.width)
            offset = emit.load(shift, doubles)
            ahead = builder.mul(n_features, ir.Constant(n_features.type, emit.width))
            for p in pointers:
                emit.prefetch(emit.pointer(p, ahead))
            lines = [packed(source.load(p, vector), offset) for p in pointers]
            lines = _transposed(builder, lines)
        else:
            offset = emit.splat(builder.load(shift), doubles)
            values = ir.Constant(
                ir.VectorType(source.element, emit.width), ir.Undefined
            )
            for r, p in enumerate(pointers):
                lane = ir.Constant(ir.IntType(32), r)
                values = builder.insert_element(values, builder.load(p), lane)
            lines = [packed(values, offset)]

        out = emit.pointer(_data(context, builder, kinds[5], out), out_at)
        for f, line in enumerate(lines):
            step = builder.mul(stride, ir.Constant(stride.type, f))
            emit.store(line, emit.pointer(out, step))
        totals = [builder.fmul(line, line) for line in lines]
        while len(totals) > 1:  # by pairs: a chain of additions would take longer
            totals = [
                builder.fadd(a, b)
                for a, b in zip(totals[::2], totals[1::2], strict=True)
            ]
        squares = emit.pointer(_data(context, builder, kinds[8], squares), at)
        emit.store(builder.fadd(emit.load(squares), totals[0]), squares)
        return context.get_dummy_value()

    return generate


TERMS = VECTOR_BYTES // 8  # columns that `add_terms` takes at once


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
        emit = _Emitter(builder, types.float64)
        source = _Emitter(builder, kinds[0].dtype)
        samples = cgutils.create_struct_proxy(kinds[0])(context, builder, X)
        n_features = builder.extract_value(samples.shape, 1)
        start = builder.add(builder.mul(i, n_features), f)
        kind = ir.VectorType(source.element, emit.width)
        values = emit.load(emit.pointer(samples.data, start), kind)
        if source.element != emit.element:
            values = builder.fpext(values, emit.vector)
        term = builder.fmul(emit.splat(weight), values)

        def two_sum(a, b):
            total = builder.fadd(a, b)
            b_part = builder.fsub(total, a)
            a_part = builder.fsub(total, b_part)
            return total, builder.fadd(builder.fsub(a, a_part), builder.fsub(b, b_part))

        places = [emit.pointer(_data(context, builder, kinds[4], totals), at)]
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


ROWS = 2 * VECTOR_BYTES // 8  # samples that `row_distances` takes at once


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
        X, rows, row_at, centers, j, out, out_at = arguments
        emit = _Emitter(builder, types.float64)
        source = _Emitter(builder, kinds[0].dtype)
        kind = ir.VectorType(source.element, emit.width)
        samples = cgutils.create_struct_proxy(kinds[0])(context, builder, X)
        n_features = builder.extract_value(samples.shape, 1)
        rows = emit.pointer(_data(context, builder, kinds[1], rows), row_at)
        center = _data(context, builder, kinds[3], centers)
        center = emit.pointer(center, builder.mul(j, n_features))
        groups = [
            [
                emit.pointer(samples.data, builder.mul(builder.load(row), n_features))
                for row in (
                    emit.pointer(rows, ir.Constant(row_at.type, g * emit.width + r))
                    for r in range(emit.width)
                )
            ]
            for g in range(ROWS // emit.width)
        ]
        sums = [cgutils.alloca_once(builder, emit.vector) for _ in groups]
        for slot in sums:
            builder.store(ir.Constant(emit.vector, None), slot)

        def widened(values):
            if source.element == emit.element:
                return values
            return builder.fpext(values, emit.vector)

        def add_feature(f, columns):
            coordinate = emit.splat(builder.load(emit.pointer(center, f)))
            for slot, column in zip(sums, columns, strict=True):
                difference = builder.fsub(column, coordinate)
                square = builder.fmul(difference, difference)
                builder.store(builder.fadd(builder.load(slot), square), slot)

        step = ir.Constant(n_features.type, emit.width)
        n_squares = builder.sdiv(n_features, step)
        with cgutils.for_range(builder, n_squares) as loop:
            first = builder.mul(loop.index, step)
            squares = [
                _transposed(
                    builder,
                    [widened(source.load(emit.pointer(p, first), kind)) for p in group],
                )
                for group in groups
            ]
            for f, columns in enumerate(zip(*squares, strict=True)):
                add_feature(builder.add(first, ir.Constant(first.type, f)), columns)
        one, whole = ir.Constant(step.type, 1), builder.mul(n_squares, step)
        with cgutils.for_range_slice(builder, whole, n_features, one) as (f, _):
            loaded = []
            for group in groups:
                values = ir.Constant(kind, ir.Undefined)
                for r, p in enumerate(group):
                    lane = ir.Constant(ir.IntType(32), r)
                    value = builder.load(emit.pointer(p, f))
                    values = builder.insert_element(values, value, lane)
                loaded.append(widened(values))
            add_feature(f, loaded)
        out = emit.pointer(_data(context, builder, kinds[5], out), out_at)
        for g, slot in enumerate(sums):
            place = emit.pointer(out, ir.Constant(out_at.type, g * emit.width))
            emit.store(builder.load(slot), place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def prefetch_row(typingctx, X, i):
    """Ask for the first cache line of X[i]."""

    def generate(context, builder, signature, arguments):
        kind, _ = signature.args
        X, i = arguments
        emit = _Emitter(builder, kind.dtype)
        samples = cgutils.create_struct_proxy(kind)(context, builder, X)
        n_features = builder.extract_value(samples.shape, 1)
        emit.prefetch(emit.pointer(samples.data, builder.mul(i, n_features)))
        return context.get_dummy_value()

    return types.none(X, types.int64), generate


def _transposed(builder, lines):
    """Transpose a square of vectors: blocks of 1, 2, 4 ... lanes change sides."""
    width = len(lines)
    lines = list(lines)
    size = 1
    while size < width:
        kept = [
            lane if not lane & size else width + lane - size for lane in range(width)
        ]
        moved = [
            lane + size if not lane & size else width + lane for lane in range(width)
        ]
        masks = [
            ir.Constant(ir.VectorType(ir.IntType(32), width), mask)
            for mask in (kept, moved)
        ]
        for i in range(width):
            if not i & size:
                pair = lines[i], lines[i + size]
                lines[i] = builder.shuffle_vector(*pair, masks[0])
                lines[i + size] = builder.shuffle_vector(*pair, masks[1])
        size *= 2
    return lines


@serial
def aligned_empty(size, like):
    """Uninitialised vector of the dtype of `like`, at the start of a cache line."""
    pad = 64 // like.itemsize
    memory = np.empty(size + pad, like.dtype)
    start = (-memory.ctypes.data % 64) // like.itemsize
    return memory[start : start + size]
