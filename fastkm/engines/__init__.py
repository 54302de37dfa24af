"""The ways to carry out one Lloyd step, and the choice among them."""

from __future__ import annotations

from typing import NamedTuple

from fastkm.engines.base import Array, Engine, InMemory, Step
from fastkm.engines.lanes import Lanes
from fastkm.engines.tiles import Tiles

__all__ = [
    "ENGINES",
    "Choice",
    "Engine",
    "InMemory",
    "Lanes",
    "Step",
    "Tiles",
    "choose",
]

ENGINES: dict[str, type[InMemory]] = {"lanes": Lanes, "tiles": Tiles}


class Choice(NamedTuple):
    """An engine that holds the samples, its name, and why it was chosen."""

    engine: Engine
    name: str
    reason: str


def choose(
    X: Array, weights: Array | None, n_threads: int, engine: str = "auto"
) -> Choice:
    """Choose the engine for the samples; `engine` is a name of ENGINES or 'auto'."""
    if engine == "auto":
        name, reason = "lanes", "the engine for every shape"
    else:
        name, reason = engine, f"asked for with engine={engine!r}"
    return Choice(ENGINES[name](X, weights, n_threads), name, reason)
