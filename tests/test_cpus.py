"""The CPUs of the process: affinity and quota, and what is done where nobody tells."""

import os

import pytest
from scripts import run, script

from fastkm import kmeans
from fastkm.kernels import _cpus, _threads

V2 = "0::/kubepods/pod1\n"
V1 = "3:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n1:cpuset:/docker/1\n0::/docker/1\n"

# name: (lines of /proc/self/cgroup, files, CPUs granted)
GROUPS = {
    "version 2": (V2, {"kubepods/pod1/cpu.max": "150000 100000\n"}, 1.5),
    "version 2, seen as root": ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
    "version 2, no limit": (V2, {"kubepods/pod1/cpu.max": "max 100000\n"}, None),
    "version 2, the parent's": (
        V2,
        {"kubepods/pod1/cpu.max": "max 100000", "kubepods/cpu.max": "300000 100000"},
        3.0,
    ),
    "version 2, the least": (
        V2,
        {"kubepods/pod1/cpu.max": "4000 1000", "kubepods/cpu.max": "300000 100000"},
        3.0,
    ),
    "version 1": (
        V1,
        {"cpu/docker/1/cpu.cfs_quota_us": "250000\n"}
        | {"cpu/docker/1/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "version 1, joint mount": (
        V1,
        {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "200000"}
        | {"cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000"},
        2.0,
    ),
    "version 1, the host's path": (
        V1,
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        1.0,
    ),
    "version 1, no limit": (
        V1,
        {"cpu/docker/1/cpu.cfs_quota_us": "-1"}
        | {"cpu/docker/1/cpu.cfs_period_us": "100000"},
        None,
    ),
    "no files": (V2, {}, None),
    "damaged": (V2 + "nonsense\n\n", {"kubepods/pod1/cpu.max": "lots"}, None),
    "period of zero": (V2, {"kubepods/pod1/cpu.max": "1000 0"}, None),
}


@pytest.mark.parametrize("name", GROUPS)
def test_quota(name, tmp_path):
    lines, files, expected = GROUPS[name]
    membership = tmp_path / "membership"
    membership.write_text(lines)
    for path, content in files.items():
        file = tmp_path / "groups" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert _cpus.quota(tmp_path / "groups", membership) == expected


def test_no_quota_without_control_groups(tmp_path):
    assert _cpus.quota(tmp_path, tmp_path / "nothing") is None


@pytest.fixture
def granted(monkeypatch):
    """Set the quota; NUMBA_NUM_THREADS, which would decide, is not set."""
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    return lambda cpus: monkeypatch.setattr(_cpus, "_cpu_quota", lambda: cpus)


@pytest.mark.parametrize(
    ("cpus", "quota", "threads"),
    [(8, None, 8), (8, 2.5, 3), (8, 0.1, 1), (2, 16.0, 2), (1, None, 1)],
)
def test_default_is_what_the_cpus_can_feed(cpus, quota, threads, granted, monkeypatch):
    granted(quota)
    monkeypatch.setattr(_cpus, "_cpus", lambda: cpus)
    monkeypatch.setattr(_threads, "most_threads", lambda: 8)
    assert _threads.default_threads() == threads
    assert kmeans([[1.0], [2.0]], 1).report.n_threads == threads


def test_numbas_variable_decides_where_it_is_set(granted, monkeypatch):
    granted(1.0)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "8")
    assert _threads.default_threads() == _threads.most_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_is_that_of_the_moment(granted):
    granted(None)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert _threads.default_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_without_affinity_all_cpus_count(granted, monkeypatch):
    granted(None)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert _cpus.usable_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _cpus.usable_cpus() == 1


def test_what_python_3_13_counts_is_taken(granted, monkeypatch):
    granted(None)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert _cpus.usable_cpus() == 5


def test_without_fork_the_pool_has_nothing_to_register(monkeypatch):
    """As on Windows."""
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    monkeypatch.setattr(_threads, "most_threads", lambda: 3)
    pool = _threads._Pool()
    jobs = pool.start(lambda chunk, n_chunks, x: chunk * x, 3, (7,))
    for job in jobs:
        job.join()
    assert [job.result() for job in jobs] == [7, 14]
    pool.executor.shutdown()


BARE = """
import os, sys
for name in ("sched_getaffinity", "sched_setaffinity", "fork", "register_at_fork",
             "process_cpu_count", "posix_spawn"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("resource", "fcntl", "pwd", "grp"):
    sys.modules[name] = None
import numpy as np
from fastkm import KMeans, kmeans
X = np.random.default_rng(0).normal(size=(2000, 6))
callback = lambda state: state.iteration == 2
kmeans(X, 5, random_state=0, checkpoint=sys.argv[1], callback=callback)
found = kmeans(X, 5, random_state=0, checkpoint=sys.argv[1])
assert (KMeans(5, random_state=0).fit(X).labels_ == found.labels).all()
print("works")
"""


def test_a_fit_without_what_only_some_systems_have(tmp_path):
    assert run(BARE, str(tmp_path / "fit")) == "works"


def test_a_fit_with_the_vectors_that_every_x86_has(tmp_path):
    """Same bits as with this machine's vectors; no fused multiply-add either.

    One engine: `test_simd` has them all.
    """
    code = script("print(fit(0, 1))")
    here = run(code)
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert run(code, env=generic, timeout=400) == here
