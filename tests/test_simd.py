"""The register tile: its numbers, its instructions, and every width it can have."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from fastkm import engines, reference
from fastkm.engines.tiles import score_margin
from fastkm.kernels import integers, simd, simd_rows, tiles, vectors
from fastkm.kernels.integers import BIAS, BOUNDED, LARGEST_BYTE, LARGEST_NORM
from fastkm.kernels.vectors import GROUP, VECTOR_BYTES

ROOT = Path(__file__).parent.parent
DTYPES = [np.float32, np.float64]
INTEGERS = [np.uint8, np.int8, np.uint16, np.int16]


@njit
def score_tiles(
    samples, centers, n_features, n_groups, partial, norms, best, second, index
):
    for g in range(n_groups):
        simd.tile(
            samples, 0, centers, g * n_features * GROUP, n_features, False, True,
            partial, 0, norms, g * GROUP, g * GROUP, best, second, index, 0,
        )  # fmt: skip


def packed(rng, dtype, n_features, n_groups):
    lanes = vectors.tile_lanes(dtype)
    samples = rng.normal(size=(n_features, lanes)).astype(dtype)
    centers = rng.normal(size=(n_groups, n_features, GROUP)).astype(dtype)
    norms = rng.normal(size=n_groups * GROUP).astype(dtype)
    best, second = np.full((2, lanes), np.inf, dtype)
    partial = np.zeros(GROUP * lanes, dtype)
    return samples, centers, norms, best, second, np.zeros(lanes, dtype), partial


@njit
def distances_of_rows(X, rows, centers, j, out):
    for at in range(0, len(rows), simd_rows.ROWS):
        simd_rows.row_distances(X, rows, at, centers, j, out, at)


@pytest.mark.parametrize("dtype", DTYPES + INTEGERS)
@pytest.mark.parametrize("n_features", [1, 2, 4, 7, 8, 9, 33])
def test_row_distances_have_the_reference_bits(dtype, n_features, rng):
    X = rng.normal(size=(50, n_features)) * 10.0 ** rng.integers(-9, 9)
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        X = rng.integers(limits.min, limits.max, X.shape, endpoint=True)
    X = X.astype(dtype)
    centers = rng.normal(size=(3, n_features))
    rows = rng.integers(0, 50, size=3 * simd_rows.ROWS)
    distances = np.empty(len(rows))
    distances_of_rows(X, rows, centers, 2, distances)
    expected = reference.squared_distances(X.astype(np.float64), centers)[rows, 2]
    assert distances.tolist() == expected.tolist()


@njit
def masks_of(samples, centers, n_pairs, norms, limits, masks, gains):
    simd.sift(samples, 0, centers, 0, n_pairs, norms, 0, limits, 0, masks, 0, gains, 0)


def bits_of(masks):
    """Whether the score of a center, by lane and center, was not above its limit."""
    lanes = np.arange(vectors.LANES_32, dtype=simd.MASK)[:, None]
    return ((masks >> lanes) & simd.MASK.type(1)).astype(bool)


@njit
def product(a, b):
    return simd_rows.dot_integers(a, 0, b, 0, a.size)


@pytest.mark.parametrize("most", [3, 2**14 - 1])
@pytest.mark.parametrize("n_pairs", [1, 2, 33])
def test_sift_and_product_of_integers(n_pairs, most, rng):
    most = min(most, int((2**29 / (2 * n_pairs)) ** 0.5))  # as a sketch does
    lanes = vectors.LANES_32
    samples = rng.integers(-most, most, (n_pairs, lanes, 2), endpoint=True)
    centers = rng.integers(-most, most, (n_pairs, GROUP, 2), endpoint=True) * -2
    samples[:, 0], centers[:, 0] = most, -2 * most  # the largest sum there is
    norms = rng.integers(0, 2**29, size=GROUP)
    scores = norms + np.einsum("plh,prh->lr", samples, centers)
    limits = scores[np.arange(lanes), rng.integers(0, GROUP, lanes)]  # and equality
    limits[1], limits[2] = BOUNDED, 1 - 2**31
    integers = (
        samples.astype(np.int16).ravel(), centers.astype(np.int16).ravel(), n_pairs,
        norms.astype(np.int32),
    )  # fmt: skip
    masks = np.zeros(GROUP, simd.MASK)
    gains = np.ones((GROUP, vectors.WIDTH_32), np.float32)
    masks_of(*integers, limits.astype(np.int32), masks, gains.ravel())
    np.testing.assert_array_equal(bits_of(masks), scores <= limits[:, None])
    expected = np.maximum(limits[:, None] - scores, 0).sum(axis=0) + vectors.WIDTH_32
    # Float32 sums of positive terms: at most LANES + 2 roundings of 2^-24 each.
    np.testing.assert_allclose(gains.sum(axis=1), expected, rtol=1e-5)

    a, b = rng.integers(-most, most, (2, 3 * simd_rows.INTEGERS), endpoint=True)
    assert product(a.astype(np.int16), b.astype(np.int16)) == a @ b


@njit
def sift_and_rank(
    samples, centers, n_words, offsets, norms, limits, masks, best, index
):
    for g in range(len(norms) // GROUP):
        at, place = g * n_words * GROUP, g * GROUP
        simd.sift_bytes(
            samples, 0, centers, at, n_words, offsets, norms, place, limits, 0, masks,
            place,
        )  # fmt: skip
        simd.rank_bytes(
            samples, 0, centers, at, n_words, offsets, norms, place, best, index, 0
        )


@pytest.mark.parametrize("n_words", [1, 2, 9, 33])
@pytest.mark.parametrize("largest", [2, LARGEST_BYTE])
def test_sift_and_rank_of_bytes(largest, n_words, rng):
    """Also where sums of one half of the features are as large as they may be."""
    lanes, n_clusters = vectors.LANES_32, 2 * GROUP - 1
    rows, centers = rng.integers(-largest, largest, (2, 99, n_words * 4), endpoint=True)
    if largest == LARGEST_BYTE:
        rows[:9, 2::4] = rows[:9, 3::4] = 0
        rows[0], centers[0], centers[1] = rows[1], rows[1], -rows[1]
    rows, centers = rows[:lanes], centers[:n_clusters]
    for x in (*rows, *centers):
        while x @ x > LARGEST_NORM**2:
            x[:] = np.trunc(x * 0.99)
    norms = (centers**2).sum(axis=1).astype(np.int32)
    places = np.empty(2 * GROUP * n_words * 4, np.int8)
    offsets, packed_norms = np.empty((2 * GROUP, 2), "i2"), np.empty(2 * GROUP, "i4")
    integers.pack_centers(centers.astype("i1"), norms, places, offsets, packed_norms)
    samples = (rows + BIAS).astype(np.int8).reshape(lanes, n_words, 4)
    scores = norms - 2 * rows @ centers.T
    limits = scores[np.arange(lanes), rng.integers(0, n_clusters, lanes)].astype("i4")
    masks = np.zeros(2 * GROUP, simd.MASK)
    best, index = np.full(lanes, 2**31 - 1, np.int32), np.zeros(lanes, np.int32)
    sift_and_rank(
        samples.transpose(1, 0, 2).copy().view(np.int32).ravel(), places.view(np.int32),
        n_words, offsets.view(np.int32).ravel(), packed_norms, limits, masks, best,
        index,
    )  # fmt: skip
    assert not masks[n_clusters:].any()
    found = bits_of(masks)[:, :n_clusters]
    np.testing.assert_array_equal(found, scores <= limits[:, None])
    np.testing.assert_array_equal(best, scores.min(axis=1))
    np.testing.assert_array_equal(index, scores.argmin(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [1, 2, 7, 64, 333])
def test_tile_keeps_the_best_two(dtype, n_features, rng):
    samples, centers, norms, best, second, index, partial = packed(
        rng, dtype, n_features, 4
    )
    score_tiles(
        samples.ravel(), centers.ravel(), n_features, 4, partial, norms, best, second,
        index,
    )  # fmt: skip
    table = centers.transpose(0, 2, 1).reshape(-1, n_features).astype("f8") @ samples
    table = np.sort(table + norms[:, None], axis=0)
    # n_features + 1 roundings of sums of products of normal numbers below 6.
    error = 36 * (n_features + 1) ** 2 * np.finfo(dtype).eps
    np.testing.assert_allclose(best, table[0], rtol=0, atol=error)
    np.testing.assert_allclose(second, table[1], rtol=0, atol=error)


@pytest.mark.skipif(VECTOR_BYTES < 32, reason="needs AVX")
@pytest.mark.parametrize("dtype", DTYPES)
def test_inner_loop_has_full_vectors_and_no_spills(dtype, rng):
    samples, centers, norms, best, second, index, partial = packed(rng, dtype, 8, 1)
    arguments = (samples.ravel(), centers.ravel(), 8, 1, partial, norms)
    score_tiles(*arguments, best, second, index)
    signature = next(
        s for s in score_tiles.signatures if s[0].dtype.name == dtype.__name__
    )
    assembly = score_tiles.inspect_asm(signature)
    kind = "ps" if dtype is np.float32 else "pd"
    register = "zmm" if VECTOR_BYTES == 64 else "ymm"
    # The loop over the features: the basic block with most multiply-adds.
    blocks = re.split(r"\n\.?L\w+:", assembly)
    inner = max(blocks, key=lambda block: block.count("vfmadd"))
    inner = inner[: inner.rindex("vfmadd")]
    adds = re.findall(rf"vfmadd\w+{kind}\s.*%{register}", inner)
    assert len(adds) + 1 >= vectors.VECTORS * GROUP
    assert len(adds) == inner.count("vfmadd")
    assert "(%rsp" not in inner


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (64, 8), (67, 17), (200, 40)])
def test_blocks_are_packed_by_tile_feature_lane(dtype, shape, rng):
    X = rng.normal(size=shape)
    shift = rng.normal(size=shape[1])
    lanes = vectors.tile_lanes(dtype)
    n_tiles = -(-shape[0] // lanes)
    block = np.zeros(n_tiles * lanes * shape[1], dtype)
    squares = np.zeros(n_tiles * lanes, dtype)
    rows = rng.permutation(shape[0])
    load_block = njit(lambda *arguments: tiles.load_block(*arguments))
    and_next = np.concatenate([rows, np.zeros(simd_rows.AHEAD, int)])
    load_block(X, and_next[: len(rows)], shift, block, squares)
    expected = (X[rows] - shift).astype(dtype)
    width = VECTOR_BYTES // np.dtype(dtype).itemsize
    n_lanes = -(-shape[0] // width) * width
    filled = expected[np.minimum(np.arange(n_lanes), shape[0] - 1)]
    loaded = block.reshape(n_tiles, shape[1], lanes).transpose(0, 2, 1)
    assert np.array_equal(loaded.reshape(-1, shape[1])[:n_lanes], filled)
    # Sums of shape[1] squares in any order: so many roundings.
    np.testing.assert_allclose(
        squares[:n_lanes],
        (filled.astype("f8") ** 2).sum(axis=1),
        rtol=shape[1] * np.finfo(dtype).eps,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [1, 3, 50, 1000])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3])
def test_margin_covers_the_error_of_scores(dtype, n_features, spread, rng):
    """Twice the largest error of a score stays below the margin, but not far below."""
    x = rng.normal(size=(200, n_features))
    c = rng.normal(size=(200, n_features)) * spread
    x[:50] = rng.choice([-1.0, 1.0], size=(50, n_features))  # errors of one sign
    narrow_x, narrow_c = x.astype(dtype), c.astype(dtype)
    dots = np.zeros((200, 200), dtype)
    for f in range(n_features):
        dots += narrow_x[:, f, None] * narrow_c[None, :, f]
    norms = (0.5 * (c**2).sum(axis=1)).astype(dtype)
    scores = (norms - dots).astype(np.longdouble)
    true = 0.5 * (c.astype(np.longdouble) ** 2).sum(axis=1) - np.longdouble(
        x
    ) @ np.longdouble(c.T)
    reach = float((c**2).sum(axis=1).max())
    m0, m1, m2, floor, stretch, m3, _ = score_margin(dtype, n_features, reach)
    norm = floor + stretch * np.sqrt((narrow_x.astype("f8") ** 2).sum(axis=1))
    margin = m0 + m1 * norm + m2 * norm**2
    assert m3 == 0
    assert (2 * np.abs(scores - true).max(axis=1) <= margin).all()


WIDTHS = """
    import numpy as np
    from fastkm import engines, lloyd, reference, seeding
    from fastkm.engines.sieves import Sieves
    from fastkm.kernels import vectors
    print(vectors.VECTOR_BYTES, vectors.VECTORS, vectors.HAS_FMA)
    rng = np.random.default_rng(0)
    for dtype in ("f4", "f8"):
        for n, d, k in [(1, 1, 1), (65, 3, 7), (130, 17, 33), (257, 8, 6)]:
            X = (rng.normal(size=(n, d)) + 100).astype(dtype)
            X[n // 2:] = X[: n - n // 2]
            C = X[:k]
            labels, distances = reference.assign(X, C)
            for make in (*engines.ENGINES.values(), engines.Lanes):
                fast = make(X, None, 1).assign(C)
                assert (fast[0] == labels).all() and (fast[1] == distances).all()
            fast = seeding.plusplus(
                engines.Lanes(X, None, 1), k, np.random.default_rng(1)
            )
            slow = reference.kmeans_plusplus(X, k, np.random.default_rng(1))
            assert (fast == slow).all()

    def sieve_always(self, *seen):
        self.use_lead(3, 0.0)

    Sieves.choose_lead = sieve_always
    X = rng.normal(size=(130, 40)).astype("f4")
    for make in engines.ENGINES.values():
        engine = make(X, None, 1)
        for C in (X[:33], X[1:34], X[1:34] + X[40:73] / 1000):
            labels, sums, weights = reference.step(X, C)
            totals = lloyd.exact_totals(engine, engine.step(C), labels)
            assert (totals == np.column_stack([sums, weights])).all()
            assert (engine.assign(C)[0] == labels).all()

    X = rng.integers(-128, 128, (67, 17)).astype("i1")
    wide = X.astype(float)
    labels, sums, weights = reference.step(wide, wide[:9])
    engine = engines.Tiles(X, None, 1)
    totals = lloyd.exact_totals(engine, engine.step(wide[:9]), labels)
    assert (totals == np.column_stack([sums, weights])).all()
"""


CPUS = {
    "generic": ("", "16"),
    "x86-64-v2": ("+sse4.2", "16"),
    "haswell": ("+avx,+avx2,+fma", "32 2 True"),
    "sandybridge": ("+avx", "32 2 False"),
}
# Those that this machine can be: other x86 CPUs only where it has AVX.
POSSIBLE = list(CPUS) if not vectors.IS_ARM and VECTOR_BYTES >= 32 else ["generic"]


@pytest.fixture(scope="module")
def runs():
    """The script for every kind of CPU that this machine can be, all at once.

    They share the cache, which keeps what is compiled for each CPU apart.
    """
    running = {}
    for cpu in POSSIBLE:
        features, _ = CPUS[cpu]
        environment = {
            **os.environ,
            "NUMBA_CPU_NAME": cpu,
            "NUMBA_CPU_FEATURES": features,
        }
        running[cpu] = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WIDTHS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
    yield running
    for process in running.values():
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("cpu", POSSIBLE)
def test_other_vector_widths_give_the_same_bits(cpu, runs):
    """Forced by Numba's own settings, as a user would."""
    output, errors = runs[cpu].communicate(timeout=600)
    assert runs[cpu].returncode == 0, errors
    assert output.startswith(CPUS[cpu][1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_features_and_centers_in_several_parts(dtype, rng):
    """Partial sums of every tile are kept apart; ties go on to exact distances."""
    n_features = 2 * tiles.DEPTH + 5
    n_clusters = 2 + tiles.CENTER_BYTES // (8 * n_features // 3)  # of float64: 2 chunks
    X = rng.normal(size=(3 * vectors.LANES_32 + 5, n_features)).astype(dtype)
    centers = rng.normal(size=(n_clusters, n_features)).astype(dtype)
    centers[1::2] = centers[: n_clusters - 1 : 2]
    labels, distances = reference.assign(X, centers)
    for engine in (engines.Lanes, engines.Tiles):
        found = engine(X, None, 1).assign(centers)
        assert (found[0] == labels).all() and (found[1] == distances).all()


def test_certification_needs_no_luck(rng):
    """Scores decide almost all of ordinary samples, and nothing on ties."""
    X = rng.normal(size=(2000, 30))
    ordinary = engines.Tiles(X, None, 1)
    ordinary.assign(X[:50])
    assert ordinary.counts["samples undecided by float32"] < 0.02 * len(X)
    ties = engines.Tiles(X, None, 1)
    labels, _ = ties.assign(np.repeat(X[:50], 2, axis=0))
    assert {
        ties.counts[f"samples undecided by {t}"] for t in ("float32", "float64")
    } == {2000}
    assert np.array_equal(labels, reference.assign(X, np.repeat(X[:50], 2, axis=0))[0])
