"""How much memory there is, and what a fit would take."""

from __future__ import annotations

import math
import os
from pathlib import Path

# Bytes, where neither the system nor a container says how many there are.
ASSUMED = 2**32

KEPT = 16  # bytes per sample of labels and distances that a fit in chunks may keep

LIMITS = {  # of the container this process runs in: most, and in use
    "/sys/fs/cgroup/memory.max": "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": (
        "/sys/fs/cgroup/memory/memory.usage_in_bytes"
    ),
}


def available() -> int:
    """Bytes that could be taken without swapping, in this container."""
    free = [_of_the_system()]
    for limit, used in LIMITS.items():
        try:
            most, in_use = Path(limit).read_text(), Path(used).read_text()
        except OSError:
            continue
        if most.strip() != "max":
            free.append(max(0, int(most) - int(in_use)))
    return min(free)


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
