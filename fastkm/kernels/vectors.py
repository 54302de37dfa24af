"""What vectors the machine has, and LLVM instructions on them.

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

GROUP = 6  # centers in a register tile


def target_features() -> set[str]:
    """Give the CPU features that Numba compiles for."""
    given = vars(numba.config)["CPU_FEATURES"]
    if given is None and vars(numba.config)["CPU_NAME"] is None:
        return {name for name, on in llvm.get_host_cpu_features().items() if on}
    return {name[1:] for name in (given or "").split(",") if name.startswith("+")}


FEATURES = target_features()
TRIPLE = llvm.get_process_triple()
IS_ARM = TRIPLE.startswith(("aarch64", "arm64"))
IS_X86 = TRIPLE.startswith("x86_64")
HAS_FMA = IS_ARM or "fma" in FEATURES
VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx" in FEATURES else 16
VECTORS = 4 if IS_ARM or "avx512f" in FEATURES else 2
# LLVM's name for an instruction that `Emitter.byte_products` is.
BYTE_PRODUCTS = {
    (64, "avx512bw" in FEATURES): "llvm.x86.avx512.pmaddubs.w.512",
    (32, "avx2" in FEATURES): "llvm.x86.avx2.pmadd.ub.sw",
    (16, "ssse3" in FEATURES): "llvm.x86.ssse3.pmadd.ub.sw.128",
}.get((VECTOR_BYTES, True))


def tile_lanes(dtype: type) -> int:
    """Samples in a register tile."""
    return VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


LANES_32 = tile_lanes(np.float32)
WIDTH_32 = VECTOR_BYTES // 4  # float32 or int32 numbers in a vector
LANES_64 = tile_lanes(np.float64)
LANES = LANES_32  # a multiple of both: blocks of samples are made of these


class Emitter:
    """LLVM instructions on vectors of one element type; integers are only loaded."""

    def __init__(self, builder, dtype):
        self.builder = builder
        bits = dtype.bitwidth
        self.is_signed = dtype in types.signed_domain
        if dtype in types.integer_domain:
            self.element = ir.IntType(bits)
        else:
            self.element = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.width = VECTOR_BYTES * 8 // bits
        self.vector = ir.VectorType(self.element, self.width)
        self.align = bits // 8
        self.fma_name = f"llvm.fma.v{self.width}f{bits}"

    def pointer(self, base, offset):
        """Point to base[offset]."""
        return self.builder.gep(base, [offset])

    def at(self, base, offset):
        """Point to base[offset], an offset that is known now."""
        return self.pointer(base, ir.Constant(ir.IntType(64), offset))

    def load(self, pointer, vector=None):
        """Load a vector, of this element type unless another is given."""
        vector = vector or self.vector
        pointer = self.builder.bitcast(pointer, vector.as_pointer())
        return self.builder.load(pointer, align=self.align)

    def store(self, value, pointer):
        """Store a vector; neither it nor a load needs alignment."""
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, pointer, align=self.align)

    def splat(self, scalar, vector=None):
        """Give a vector with the scalar in every lane."""
        undefined = ir.Constant(vector or self.vector, ir.Undefined)
        index = ir.Constant(ir.IntType(32), 0)
        single = self.builder.insert_element(undefined, scalar, index)
        return self.shuffle(single, undefined, [0] * self.width)

    def fma(self, a, b, c):
        """Compute a * b + c, rounded once where the CPU has it, else twice."""
        if not HAS_FMA:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, self.fma_name
        )
        return self.builder.call(function, [a, b, c])

    def pair_products(self, a, b):
        """Sums of the products of neighbours, a[2i] b[2i] + a[2i + 1] b[2i + 1].

        Of vectors of int16 of twice the lanes; LLVM makes one instruction of it where
        the CPU has it.
        """
        wide = ir.VectorType(self.element, 2 * self.width)
        sext = self.builder.sext
        return self._neighbours(self.builder.mul(sext(a, wide), sext(b, wide)))

    def byte_products(self, a, b):
        """As `pair_products`, of bytes in int16, of four times the lanes.

        Those of a are unsigned. All of them must be below 128, or an instruction would
        end at the largest int16.
        """
        wide = ir.VectorType(ir.IntType(16), 4 * self.width)
        if BYTE_PRODUCTS is None:
            products = self.builder.mul(
                self.builder.zext(a, wide), self.builder.sext(b, wide)
            )
            return self._neighbours(products)
        sums = ir.VectorType(ir.IntType(16), 2 * self.width)
        kind = ir.FunctionType(sums, [a.type, b.type])
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, BYTE_PRODUCTS
        )
        return self.builder.call(function, [a, b])

    def _neighbours(self, values):
        """Sums of neighbours, of twice as many lanes."""
        undefined = ir.Constant(values.type, ir.Undefined)
        first, second = (
            self.shuffle(values, undefined, list(range(n, values.type.count, 2)))
            for n in (0, 1)
        )
        return self.builder.add(first, second)

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

    def prefetch_lines(self, pointer, size):
        """Ask for all cache lines of so many elements."""
        per_line = ir.Constant(size.type, 64 // (VECTOR_BYTES // self.width))
        nothing = ir.Constant(size.type, 0)
        with cgutils.for_range_slice(self.builder, nothing, size, per_line) as (at, _):
            self.prefetch(self.pointer(pointer, at))

    def less(self, a, b):
        """Compare lanes; false where one is not a number."""
        return self.builder.fcmp_ordered("<", a, b)

    def minimum(self, a, b):
        """Take the lesser of two lanes, b where one is not a number."""
        return self.builder.select(self.less(a, b), a, b)

    def maximum(self, a, b):
        """Take the greater of two lanes, b where one is not a number."""
        return self.builder.select(self.less(b, a), a, b)

    def any(self, masks):
        """Whether a lane of one of the masks is set."""
        joined = masks[0]
        for mask in masks[1:]:
            joined = self.builder.or_(joined, mask)
        bits = self.builder.bitcast(joined, ir.IntType(self.width))
        return self.builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    def widened(self, values):
        """Values of this element type, as a vector of float64."""
        kind = ir.VectorType(ir.DoubleType(), values.type.count)
        if isinstance(self.element, ir.IntType):
            convert = self.builder.sitofp if self.is_signed else self.builder.uitofp
            return convert(values, kind)
        return values if values.type == kind else self.builder.fpext(values, kind)

    def gather(self, pointers):
        """One number from each pointer."""
        numbers = [self.builder.load(pointer) for pointer in pointers]
        values = ir.Constant(ir.VectorType(numbers[0].type, len(numbers)), ir.Undefined)
        for r, number in enumerate(numbers):
            lane = ir.Constant(ir.IntType(32), r)
            values = self.builder.insert_element(values, number, lane)
        return values

    def total(self, vectors):
        """Sum of vectors, by pairs: a chain of additions would take longer."""
        while len(vectors) > 1:
            vectors = [
                self.builder.fadd(a, b)
                for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
        return vectors[0]

    def across(self, vector, add):
        """Sum of the lanes of a vector, by halves, with `add` of the builder."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        half = self.width // 2
        while half:
            lanes = [(lane + half) % self.width for lane in range(self.width)]
            vector = add(vector, self.shuffle(vector, undefined, lanes))
            half //= 2
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    def transposed(self, lines):
        """Transpose a square of vectors: blocks of 1, 2, 4 ... lanes change sides."""
        width = len(lines)
        lines = list(lines)
        size = 1
        while size < width:
            lanes = range(width)
            kept = [i + width - size if i & size else i for i in lanes]
            moved = [i + width if i & size else i + size for i in lanes]
            for i in lanes:
                if not i & size:
                    pair = lines[i], lines[i + size]
                    lines[i] = self.shuffle(*pair, kept)
                    lines[i + size] = self.shuffle(*pair, moved)
            size *= 2
        return lines

    def shuffle(self, a, b, lanes):
        """Pick lanes of two vectors; those of b are counted on from those of a."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(a, b, mask)


def data(context, builder, kind, array):
    """Pointer to the first element of an array."""
    return cgutils.create_struct_proxy(kind)(context, builder, array).data


def pointers(context, builder, signature, arguments, places):
    """Pointers to array[offset], for pairs of the arguments' places."""
    return [
        builder.gep(
            data(context, builder, signature.args[place], arguments[place]),
            [arguments[offset]],
        )
        for place, offset in places
    ]


def pause(builder):
    """Let a loop that waits breathe: some 30 ns, less where no such thing is known."""
    if IS_ARM:
        name, arguments = "llvm.aarch64.isb", [ir.Constant(ir.IntType(32), 15)]
    elif IS_X86:
        name, arguments = "llvm.x86.sse2.pause", []
    else:
        return
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, arguments)


def row(context, builder, kind, X, i):
    """Pointer to the sample X[i], and the number of features."""
    samples = cgutils.create_struct_proxy(kind)(context, builder, X)
    n_features = builder.extract_value(samples.shape, 1)
    return builder.gep(samples.data, [builder.mul(i, n_features)]), n_features
