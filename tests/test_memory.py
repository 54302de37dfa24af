"""Memory: what the docstrings state, no table of samples by clusters, and running out.

Measured in processes of their own: peak resident memory beyond that of the samples.
"""

import operator
import sys

import numba
import numpy as np
import pytest
from scripts import run, script

from fastkm import kmeans
from fastkm.engines import ENGINES

INTEGERS = ("i4", "i8", "u1", "u8")  # labels, indices, cells, masks

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="peaks and limits are asked of Linux"
)

MEASURE = """
    import resource
    from fastkm import engines

    def peak():
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def samples(n, d, dtype):
        return np.random.default_rng(1).random((n, d), dtype)
"""
ENGINE = """
    def fit(X, k):
        engine = engines.choose(X, None, k, 2, NAME, 2).engine
        for _ in range(2):
            engine.step(X[:k])
        engine.inertia(engine.assign(X[:k])[1])

    fit(samples(20_000, D, DTYPE), K)  # compiled, and its memory with it
    X = samples(N, D, DTYPE)
    before = peak()
    fit(X, K)
    print(peak() - before)
"""


def stated(engine, d, itemsize):
    """Bytes per sample that an engine's docstring states."""
    in_memory, queue = 8, 8
    return {
        "lanes": in_memory,
        "blocks": in_memory + d * itemsize + 8 + 5 * d + 6,
        "tiles": in_memory + queue,
        "skips": in_memory + queue + 4,
        "prefix": in_memory + queue + 480 + 24,
    }[engine]


# Few features, where every byte per sample counts, and many clusters: a table of
# samples by clusters would take 800 bytes per sample, a float32 one 2048.
# Each engine on those of them for which it may be chosen.
FEW, MANY = (3_000_000, 2, 100, "f8"), (300_000, 64, 512, "f4")
SHAPES = [(engine, *FEW) for engine in ENGINES if engine != "prefix"]
SHAPES += [(engine, *MANY) for engine in ENGINES if engine != "blocks"]


@pytest.mark.parametrize(("engine", "n", "d", "k", "dtype"), SHAPES)
def test_an_engine_keeps_what_it_states(engine, n, d, k, dtype):
    names = f"NAME, N, D, K, DTYPE = {(engine, n, d, k, dtype)}"
    used = int(run(script(names, MEASURE, ENGINE)))
    labels_and_distances = 12  # of the answer
    allowed = n * (stated(engine, d, np.dtype(dtype).itemsize) + labels_and_distances)
    # Room for blocks of samples per thread, tables of sums, and the allocator's whims.
    assert used < 1.25 * allowed + 64e6, f"{used / n:.1f} bytes per sample"


def test_seeding_and_all_that_a_model_does():
    """12 bytes per sample, a bit per candidate, the sketch; and the labels."""
    code = """
        from fastkm import KMeans, kmeans_plusplus
        model = KMeans(500, max_iter=2, n_threads=2)
        small = samples(20_000, 8, "f4")
        model.fit(small).predict(small)
        model.score(small), model.transform(small[:100])
        kmeans_plusplus(small, 500)
        X = samples(1_000_000, 8, "f4")
        before = peak()
        kmeans_plusplus(X, 500, random_state=0)
        model.predict(X)
        model.score(X)
        model.fit(X)
        print(peak() - before)
    """
    used = int(run(script(MEASURE, code)))
    assert used < 400 * 1_000_000, f"{used / 1e6:.1f} bytes per sample"


OUT_OF_MEMORY = """
    import resource
    from fastkm import KMeans
    expected = fit(1)
    X_big = np.ones((8_000_000, 4), np.float32)
    X_big[:, 0] = np.arange(len(X_big)) % 977
    model = KMeans(9, random_state=0, max_iter=3, n_threads=4)
    model.fit(X_big[:100_000])
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        CALL
        print("had enough")
    except MemoryError as error:
        message = str(error)
        resource.setrlimit(resource.RLIMIT_AS, 2 * (resource.RLIM_INFINITY,))
        assert fit(1) == expected
        print("MemoryError", message)
"""
CALLS = {
    "copy": "model.fit(X_big[::-1])",
    "fit": "model.fit(X_big)",
    "predict": "model.predict(X_big)",
    "transform": "model.transform(X_big)",
    "score": "model.score(X_big)",
}


@pytest.mark.parametrize("name", CALLS)
def test_running_out_is_an_error_like_others(name):
    code = OUT_OF_MEMORY.replace("CALL", CALLS[name]).replace("ROOM", str(24 * 2**20))
    told = run(script(code))
    # NumPy says how much for which shape.
    assert told.startswith("MemoryError") and "allocate" in told, told


@pytest.mark.slow
def test_more_numbers_than_int32_counts(tmp_path):
    """2.2e9 numbers in a sparse file: what is behind 2^31 is found where it is."""
    d = 1000
    n = 2**31 // d + 50_000
    samples = np.memmap(tmp_path / "X", np.float32, "w+", shape=(n, d))
    marked = [0, 7, 2**31 // d - 1, 2**31 // d, 2**31 // d + 1, n - 2, n - 1]
    for place, i in enumerate(marked):
        samples[i] = 1 + place % 2
    centers = np.array([[0.0], [1.0], [2.0]], np.float32).repeat(d, 1)
    expected = np.zeros(n, np.int32)
    expected[marked] = 1 + np.arange(len(marked)) % 2
    for engine in ("lanes", "tiles", "skips"):
        result = kmeans(samples, 3, init=centers, max_iter=1, tol=0, engine=engine)
        assert np.array_equal(result.labels, expected)
        assert np.array_equal(result.centers, centers)
        assert result.inertia == 0


@pytest.mark.parametrize("a", INTEGERS)
@pytest.mark.parametrize("b", INTEGERS)
def test_products_of_indices_are_64_bits_wide(a, b):
    """Numba's rule on which every index expression of the kernels relies.

    Tables of sums, packed centers and scores are indexed by products of two integers,
    labels (int32) among them.
    """
    context = numba.core.registry.cpu_target.typing_context
    context.refresh()
    for operation in (operator.mul, operator.add, operator.iadd, operator.imul):
        kinds = (numba.from_dtype(np.dtype(a)), numba.from_dtype(np.dtype(b)))
        result = context.resolve_function_type(operation, kinds, {}).return_type
        # int64 with uint64 makes a float64, which is no index: Numba would refuse.
        assert result in (numba.int64, numba.uint64, numba.float64)
