"""How many CPUs the process may keep busy: its affinity and the container's quota.

A container that is limited to two CPUs of a large machine sees all of them. Threads
beyond its quota are stopped for most of every period, and with them whoever waits.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

__all__ = ["control_groups", "quota", "usable_cpus"]

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Return the number of CPUs that the process may keep busy, at least 1."""
    allowed = _cpu_quota()
    cpus = _cpus()
    return cpus if allowed is None else max(1, min(cpus, math.ceil(allowed)))


def _cpus() -> int:
    """Count the CPUs on which the process may run; all, where nobody tells."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):  # Linux
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    return count or 1


@functools.cache
def _cpu_quota() -> float | None:
    return quota()


def quota(groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Give the CPUs' worth of time that the control groups grant, None for no limit.

    Read from `cpu.max` (version 2) or `cpu.cfs_quota_us` (version 1); the least counts.
    """
    folders = control_groups("cpu", groups, membership)
    return min(chain.from_iterable(map(_limits, folders)), default=None)


def control_groups(
    controller: str, groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP
) -> Iterator[Path]:
    """Folders of the process's group and of all above it, there or not.

    Inside a container the mount often shows its own group as the root, and paths of the
    host do not exist.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no Linux, or hidden
        return
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        for mount in _mounts(groups, controllers, controller):
            group = PurePosixPath(path.lstrip("/"))
            for level in (group, *group.parents):
                yield mount / level


def _mounts(groups: Path, controllers: str, controller: str) -> list[Path]:
    """Folders where the hierarchy of a line of /proc/self/cgroup may be mounted."""
    if not controllers:
        return [groups]  # version 2
    if controller in controllers.split(","):
        return [groups / controller, groups / controllers]
    return []


def _limits(folder: Path) -> Iterator[float]:
    try:
        if (folder / "cpu.max").exists():
            granted, period = (folder / "cpu.max").read_text().split()
        else:
            granted = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        if granted != "max" and float(granted) > 0 and float(period) > 0:
            yield float(granted) / float(period)
    except (OSError, ValueError):  # not there, not ours to read, or of another form
        pass
