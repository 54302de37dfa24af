"""The study tour: `python -m fastkm tour` measures, draws and writes a report.

`study` runs the parts (`clusterings`, `restarts`, `timing`, `digits`) and `report`
writes them up. This module imports none of them: what they need is an extra.
"""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["INITS", "missing_packages"]

INITS = ("k-means++", "random", "farthest")  # the kinds of start that are compared

NEEDED = {
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
    "jinja2": "Jinja2",
}


def missing_packages() -> list[str]:
    """Name the packages that the tour needs and that are not installed."""
    return [name for module, name in NEEDED.items() if find_spec(module) is None]
