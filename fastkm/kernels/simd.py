"""The register tile: samples x centers in vectors, the best kept or the near sifted.

Numba has no vector types and does not turn unrolled scalars into vectors, so the loops
that decide the speed are written as LLVM vectors through `@intrinsic`.

`tile` and `sift` hold VECTORS vectors of samples (one sample per lane) times GROUP
centers (broadcast) in registers while they walk over the features. Both operands are
packed so that one pointer walks through each: samples as [feature][lane], centers as
[feature][center]. Then `tile` brings every lane's best center up to date, and `sift`,
on small integers in pairs, notes which centers are not above a limit.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastkm.kernels.vectors import GROUP, LANES_32, VECTORS, Emitter, pointers

MASK = np.dtype(f"uint{LANES_32}")  # one bit for each sample of a float32 tile


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
        emit = Emitter(builder, signature.args[0].dtype)
        x, c, partial, norms, best, index = pointers(
            context,
            builder,
            signature,
            arguments,
            ((0, 1), (2, 3), (7, 8), (9, 10), (12, 15), (14, 15)),
        )
        second = None
        if not is_distance:
            (second,) = pointers(context, builder, signature, arguments, ((13, 15),))
        n_features, resume, finish = arguments[4:7]
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


def _walk(emit, x, c, n_features, sums, is_distance):
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
    n_words,
    norms,
    norm_at,
    limits,
    limit_at,
    masks,
    mask_at,
    gains,
    gain_at,
):
    """Which scores of a register tile of integers are not above their lane's limit.

    Samples and centers are int16, norms and limits int32, and features come in pairs,
    words of 32 bits: samples[sample_at:] is [word][lane][2], centers[center_at:]
    [word][center][2]. masks[mask_at + r] gets one bit per lane for center r of the
    group, set where norm + sample . center <= limits[limit_at + lane]. Nothing may
    overflow. By how much they are below is added to the float32 gains[gain_at:], a
    vector for each center.
    """
    word = types.int64
    signature = types.none(
        *(samples, word, centers, word, word, norms, word, limits, word, masks, word),
        *(gains, word),
    )

    def generate(context, builder, signature, arguments):
        emit = Emitter(builder, types.int32)
        x, c, norms, limits, masks, gains = pointers(
            context,
            builder,
            signature,
            arguments,
            ((0, 1), (2, 3), (5, 6), (7, 8), (9, 10), (11, 12)),
        )
        halves = ir.VectorType(ir.IntType(16), 2 * emit.width)
        first = [builder.load(emit.at(norms, r)) for r in range(GROUP)]
        sums = _walk_words(emit, x, c, arguments[4], first, halves, emit.pair_products)
        limit = _mark(emit, sums, limits, masks, signature.args[9].dtype)
        single = Emitter(builder, types.float32)
        for r in range(GROUP):
            place = emit.at(gains, r * emit.width)
            gain = single.load(place)
            for v in range(VECTORS):
                above = builder.icmp_signed(">", limit[v], sums[r, v])
                larger = builder.select(above, limit[v], sums[r, v])
                excess = builder.sub(larger, sums[r, v])
                gain = builder.fadd(gain, builder.sitofp(excess, single.vector))
            single.store(gain, place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def sift_bytes(
    typingctx,
    samples,
    sample_at,
    centers,
    center_at,
    n_words,
    offsets,
    norms,
    norm_at,
    limits,
    limit_at,
    masks,
    mask_at,
):
    """As `sift`, of bytes in fours, words of 32 bits; scores are norm - 2 v . w.

    Half as many instructions for each feature: the sums are of 16 bits, one of the
    first two bytes of every word and one of the others. Both must fit once they are
    done; until then they may run over. A sample's numbers v are stored with BIAS added,
    which makes them unsigned; a center's w lie within 127, and offsets[norm_at + r]
    holds what that adds to its two sums, negated (`integers.pack_centers`).
    """
    word = types.int64
    signature = types.none(
        *(samples, word, centers, word, word, offsets, norms, word, limits, word),
        *(masks, word),
    )

    def generate(context, builder, signature, arguments):
        emit, scores = _byte_scores(context, builder, signature, arguments)
        limits, masks = pointers(
            context, builder, signature, arguments, ((8, 9), (10, 11))
        )
        _mark(emit, scores, limits, masks, signature.args[10].dtype)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def rank_bytes(
    typingctx,
    samples,
    sample_at,
    centers,
    center_at,
    n_words,
    offsets,
    norms,
    norm_at,
    best,
    index,
    lane_at,
):
    """Bring the least scores, as of `sift_bytes`, and their centers up to date.

    best[lane_at:] and index[lane_at:], int32; the tile's centers are norm_at,
    norm_at + 1, ...
    """
    word = types.int64
    signature = types.none(
        *(samples, word, centers, word, word, offsets, norms, word, best, index, word)
    )

    def generate(context, builder, signature, arguments):
        emit, scores = _byte_scores(context, builder, signature, arguments)
        best, index = pointers(
            context, builder, signature, arguments, ((8, 10), (9, 10))
        )
        first = emit.splat(builder.trunc(arguments[7], emit.element))
        for v in range(VECTORS):
            places = [emit.at(values, v * emit.width) for values in (best, index)]
            least, center = (emit.load(place) for place in places)
            for r in range(GROUP):
                closer = builder.icmp_signed("<", scores[r, v], least)
                own = builder.add(first, ir.Constant(emit.vector, [r] * emit.width))
                least = builder.select(closer, scores[r, v], least)
                center = builder.select(closer, own, center)
            for value, place in zip((least, center), places, strict=True):
                emit.store(value, place)
        return context.get_dummy_value()

    return signature, generate


def _byte_scores(context, builder, signature, arguments):
    """Scores of a tile of bytes, from what `sift_bytes` takes up to norm_at."""
    emit = Emitter(builder, types.int32)
    x, c, offsets, norms = pointers(
        context, builder, signature, arguments, ((0, 1), (2, 3), (5, 7), (6, 7))
    )
    fours = ir.VectorType(ir.IntType(8), 4 * emit.width)
    first = [builder.load(emit.at(offsets, r)) for r in range(GROUP)]
    scores = _walk_words(emit, x, c, arguments[4], first, fours, emit.byte_products)
    double = ir.Constant(scores[0, 0].type, [-2] * (2 * emit.width))
    for r in range(GROUP):
        norm = emit.splat(builder.load(emit.at(norms, r)))
        for v in range(VECTORS):
            joined = emit.pair_products(scores[r, v], double)
            scores[r, v] = builder.add(norm, joined)
    return emit, scores


def _walk_words(emit, x, c, n_words, first, numbers, products):
    """Sums over all words of a tile of samples and a group of centers.

    They begin with first[center], and are vectors of what `products` of two vectors of
    `numbers` gives.
    """
    builder = emit.builder
    sums = {}

    def step(base, size):
        base = builder.bitcast(base, emit.element.as_pointer())
        return lambda n: emit.pointer(base, builder.mul(n, ir.Constant(n.type, size)))

    row_of, column_of = step(x, VECTORS * emit.width), step(c, GROUP)
    kind = products(*[ir.Constant(numbers, None)] * 2).type
    for r in range(GROUP):
        start = builder.bitcast(emit.splat(first[r]), kind)
        for v in range(VECTORS):
            sums[r, v] = cgutils.alloca_once(builder, kind)
            builder.store(start, sums[r, v])
    with cgutils.for_range(builder, n_words) as loop:
        row, column = row_of(loop.index), column_of(loop.index)
        places = [emit.at(row, v * emit.width) for v in range(VECTORS)]
        vectors = [emit.load(place, numbers) for place in places]
        for r in range(GROUP):
            center = emit.splat(builder.load(emit.at(column, r)))
            center = builder.bitcast(center, numbers)
            for v, vector in enumerate(vectors):
                total = builder.add(builder.load(sums[r, v]), products(vector, center))
                builder.store(total, sums[r, v])
    return {cell: builder.load(slot) for cell, slot in sums.items()}


def _mark(emit, scores, limits, masks, dtype):
    """Set the bits of scores not above the lanes' limits; returns these."""
    builder = emit.builder
    word = ir.IntType(dtype.bitwidth)
    limit = [emit.load(emit.at(limits, v * emit.width)) for v in range(VECTORS)]
    for r in range(GROUP):
        mask = ir.Constant(word, 0)
        for v in range(VECTORS):
            near = builder.icmp_signed("<=", scores[r, v], limit[v])
            bits = builder.bitcast(near, ir.IntType(emit.width))
            if word.width > emit.width:
                bits = builder.zext(bits, word)
            bits = builder.shl(bits, ir.Constant(word, v * emit.width))
            mask = builder.or_(mask, bits)
        builder.store(mask, emit.at(masks, r))
    return limit


@intrinsic
def lowest_bit(typingctx, word):
    """Index of the lowest bit that is set in a word that is not 0."""

    def generate(context, builder, signature, arguments):
        (word,) = arguments
        found = builder.cttz(word, ir.Constant(ir.IntType(1), 1))
        return builder.zext(found, ir.IntType(64)) if word.type.width < 64 else found

    return types.int64(word), generate
