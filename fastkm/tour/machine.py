"""What a measurement ran on: versions, processor, memory."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastkm import __version__

PACKAGES = ("numpy", "numba", "scikit-learn", "matplotlib")


def versions() -> dict[str, str]:
    """Version of Python, of fastkm and of each package that matters to a timing."""
    found = {"Python": platform.python_version(), "fastkm": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # put on the path without being installed
            found[name] = "unknown"
    return found


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    name = names[0].strip() if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} logical cores"


def system() -> str:
    """Operating system and architecture."""
    return f"{platform.system()} {platform.machine()}"


def load() -> str:
    """Processes that wanted to run, on average over the last minute."""
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except (AttributeError, OSError):  # not on Windows
        return "unknown"
