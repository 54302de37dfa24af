"""How kernels are written for LLVM: what they compute, and that nothing is leaked."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from fastkm.kernels import _jit
from fastkm.kernels._jit import nested, serial
from fastkm.kernels.arrays import empty, zeros


def counted_down(values):
    total = 0.0
    for i in range(values.size - 1, -1, -1):
        total = 0.5 * total + values[i]
    return total


def by_steps(values):
    total, step = 0.0, values.size // 3
    for i in range(1, values.size, 2):
        for at in range(0, i, step):
            if at == 4:
                continue
            total += values[at] * i
    for _ in range(3, 1):
        total = -1.0
    return total


def from_the_end(values):
    return values[-1] + 10.0 * values[: values.size - 1][-2]


def cells(values):
    table = zeros((3, values.size), np.int32)
    for i in range(values.size):
        table[i % 3, i] = np.int64(values[i] * 100)
        table[1, i] += table[i % 3, i]
    row = table[1]
    row[0] = table.shape[0] * 1000 + table.size
    return row[0] + 2.0 * row[4] + table[2, 5]


@nested
def doubled(values):
    longer = empty(2 * values.size, values.dtype)
    for i in range(longer.size):
        longer[i] = values[i % values.size]
    return longer


def grown(values):
    """Arrays are made in a loop, handed on, and some never made."""
    some = values
    while some.size < 100:
        some = doubled(some)
        if some[1] < 0:
            return -1.0
    parts = (some, some[2:])
    return parts[0][some.size - 1] + parts[1][3] * some.size


@pytest.fixture
def _allocations_counted():
    _nrt_python.memsys_enable_stats()
    yield
    _nrt_python.memsys_disable_stats()


@pytest.mark.usefixtures("_allocations_counted")
@pytest.mark.parametrize(
    "function", [counted_down, by_steps, from_the_end, cells, grown]
)
@pytest.mark.parametrize("is_strided", [False, True])
def test_kernels_compute_what_python_does(function, is_strided, monkeypatch):
    values = np.random.default_rng(0).random(24)
    values = values[::2] if is_strided else values[:12]
    kernel = serial(function)
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "empty", np.empty)
        patch.setitem(globals(), "zeros", np.zeros)
        expected = function(values)
    before = rtsys.get_allocation_stats()
    assert [kernel(values) for _ in range(3)] == [expected] * 3
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free


def test_parts_and_kernels_are_compiled_in_the_ways_of_this_house():
    """Else Numba lacks something that these are built on, and all takes longer."""
    assert bool(_jit.COMPILER) == (numba.version_info.short in _jit.KNOWN)


def mixed(values):
    last = 0
    for i in range(values.size):
        last = values[i]
    return last


@pytest.mark.skipif(not _jit.COMPILER, reason="compiled in Numba's own way")
def test_a_variable_has_one_type():
    with pytest.raises(TypeError, match="last is given values of several types"):
        serial(mixed)(np.ones(3))


UNKNOWN = """
import numba
numba.version_info = numba.version_info._replace(short=(0, 999))
import numpy as np
from fastkm import kmeans, reference
from fastkm.kernels import _jit

assert not _jit.COMPILER
X = np.random.default_rng(0).normal(size=(12_000, 2))
for engine in ("blocks", "tiles"):
    fast = kmeans(X, 5, init=X[:5].copy(), engine=engine, tol=0, max_iter=30)
    slow = reference.kmeans(X, X[:5].copy(), tol=0, max_iter=30)
    assert (fast.centers == slow.centers).all() and (fast.labels == slow.labels).all()
"""


def test_other_versions_of_numba_compile_in_their_own_way(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = [sys.executable, "-c", UNKNOWN]
    subprocess.run(run, env=environment, check=True, timeout=600)
