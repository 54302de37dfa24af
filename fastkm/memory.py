"""How much memory there is, and what a fit would take."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

from fastkm.kernels import control_groups

# Bytes, where neither the system nor a container says how many there are.
ASSUMED = 2**32

# Of a control group: most bytes, those in use, and the name of those that are only a
# cache of files (version 2, then version 1).
LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available() -> int:
    """Bytes that could be taken without swapping, in this container."""
    free = [_of_the_system()]
    for folder in _groups():
        free += room_in(folder)
    return min(free)


@functools.cache
def _groups() -> list[Path]:
    """Control groups that may have a limit; to look for all of them takes 1 ms."""
    return [
        folder
        for folder in control_groups("memory")
        if any((folder / most).exists() for most, _, _ in LIMITS)
    ]


def room_in(group: Path) -> Iterator[int]:
    """Bytes that a control group has left, if it has a limit."""
    for most, used, cached in LIMITS:
        try:
            limit = (group / most).read_text().strip()
            if limit == "max":
                continue
            fields = map(str.split, (group / "memory.stat").read_text().splitlines())
            files = next((int(n) for name, n in fields if name == cached), 0)
            in_use = int((group / used).read_text()) - files
        except (OSError, ValueError):  # not there, not ours to read, of another form
            continue
        yield max(0, int(limit) - in_use)


def _of_the_system() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return ASSUMED


def beyond_samples(shape: tuple[int, int], itemsize: int) -> int:
    """Bytes that a fit in memory may take beyond the samples.

    What engines, seeding and labels state in their docstrings: a copy of the samples
    and 64 bytes for each, or 600 where `engines.prefix` may serve.
    """
    n_samples, n_features = shape
    if n_features < 32:
        return n_samples * (n_features * itemsize + 64)
    return n_samples * 600


def default_max() -> int:
    """Bytes that a fit takes at most where none are stated: half of what is free."""
    return max(2**26, math.floor(available() / 2))
