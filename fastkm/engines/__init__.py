"""The ways to carry out one Lloyd step, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array, Engine, InMemory, Step, center_dtype
from fastkm.engines.blocks import Blocks
from fastkm.engines.chunks import (
    ASSIGNMENTS,
    IMAGES,
    NOTHING,
    STATE,
    Chunked,
    Chunks,
    spread,
)
from fastkm.engines.lanes import Lanes
from fastkm.engines.onepass import exact_lanes
from fastkm.engines.parts import Parted
from fastkm.engines.prefix import Prefix
from fastkm.engines.sieves import BASIS_ROWS, Sieves
from fastkm.engines.skips import Skips
from fastkm.engines.tiles import Tiles

__all__ = [
    "ASSIGNMENTS",
    "ENGINES",
    "IMAGES",
    "NOTHING",
    "STATE",
    "Blocks",
    "Choice",
    "Chunked",
    "Chunks",
    "Engine",
    "InMemory",
    "Lanes",
    "Parted",
    "Prefix",
    "Skips",
    "Step",
    "Tiles",
    "center_dtype",
    "choose",
    "decide",
    "exact_engine",
]

ENGINES: dict[str, Callable[[Array, Array | None, int], InMemory]] = {
    "blocks": Blocks,
    "lanes": exact_lanes,
    "tiles": Tiles,
    "skips": Skips,
    "prefix": Prefix,
}


class Choice(NamedTuple):
    """An engine that holds the samples, its name, and why it was chosen."""

    engine: InMemory | Chunked
    name: str
    reason: str


def exact_engine(
    X: Array | Chunks,
    weights: Array | None,
    n_threads: int,
    *,
    keeps: int = IMAGES,
) -> Lanes | Chunked:
    """Give the engine that computes every distance; for `keeps` see `Chunked`."""
    if isinstance(X, np.ndarray):
        return Lanes(X, weights, n_threads)
    return Chunked(X, weights, n_threads, keeps=keeps)


def choose(
    X: Array | Chunks,
    weights: Array | None,
    n_clusters: int,
    n_threads: int,
    engine: str = "auto",
    n_steps: int = 0,
    *,
    keeps: int = IMAGES,
) -> Choice:
    """Choose the engine for the samples.

    `engine` is a name of ENGINES or 'auto', `n_steps` the most Lloyd steps that may
    come, all restarts together (0: a single assignment): what they could repay.

    For samples in chunks, it is chosen chunk by chunk, for a single assignment of each,
    but for `skips`, if its state is kept, and for `prefix`, of which the chunks share
    what they can; for `keeps` see `Chunked`.
    """
    if isinstance(X, np.ndarray):
        name, reason = decide(X, n_clusters, engine, n_steps)
        return Choice(ENGINES[name](X, weights, n_threads), name, reason)

    n_repaid = n_steps if keeps == IMAGES else 0
    name, _ = decide(X, n_clusters, engine, n_repaid)
    sieves = Sieves(spread(X, BASIS_ROWS), n_threads) if name == "prefix" else None

    def make(
        chunk: Array, weights: Array | None, n_clusters: int, n_threads: int
    ) -> InMemory:
        name, _ = decide(X, n_clusters, engine, n_repaid)
        if name == "prefix" and sieves and (engine == name or sieves.may_pay()):
            return Prefix(chunk, weights, n_threads, sieves)
        name, _ = decide(chunk, n_clusters, engine)
        if engine == "auto" and name in ("tiles", "prefix"):
            # What skips find out is kept from step to step.
            name = "skips" if keeps and n_steps > 1 else "tiles"
        return ENGINES[name](chunk, weights, n_threads)

    reason = f"samples in chunks, one at a time; engine={engine!r} for each"
    return Choice(Chunked(X, weights, n_threads, make, keeps=keeps), "chunks", reason)


def decide(
    X: Array | Chunks, n_clusters: int, engine: str = "auto", n_steps: int = 0
) -> tuple[str, str]:
    """Name of the engine that `choose` makes, and why."""
    # Milliseconds per step + of the build, one Zen 3 machine of 2 cores, mixtures that
    # overlap. 300k x 2, k=6: lanes 3.2, blocks 0.3 + 35; k=100: tiles 10, blocks 1.8 +
    # 58; 300k x 3, k=1000: tiles 72, blocks 19 + 31; 300k x 4, k=100: tiles 12.8,
    # blocks 9.2; x 5: 14 and 14; x 6: 14 and 19. 20k x 2, k=6: lanes 0.26, blocks 0.1 +
    # 3.3.
    n_samples, n_features = X.shape
    repaid = n_steps * max(n_clusters, 40) >= 1000
    divisible = n_samples >= max(10_000, 50 * n_clusters)
    # Milliseconds per assignment, lanes / tiles, the same machine: 1M x 2, k=6: 2.4 /
    # 5.7, k=64: 8.8 / 10; 1M x 3, k=21: 8.5 / 7.8; 1M x 4, k=10: 12 / 9.4. Of fits of
    # 300 steps, lanes / skips: 500k x 5, k=6: 134 / 109, k=12: 779 / 305.
    # Seconds of fits to the end, skips / prefix: 100,000 x 384 embeddings, k=100: 7.5 /
    # 8.0, k=150: 7.4 / 7.8; MNIST, k=250: 9.5 / 3.2.
    n_terms = n_features * n_clusters
    if engine != "auto":
        return engine, f"asked for with engine={engine!r}"
    if n_features <= 4 and repaid and divisible:
        reason = f"{n_features} features, a sort to be repaid by up to {n_steps} steps"
        return "blocks", reason
    if n_features <= 4 and n_terms <= 64:
        reason = f"{n_terms} terms per sample: certifying cheaper scores would not pay"
        return "lanes", reason
    if _may_sieve(X.shape, n_clusters, n_steps):
        return "prefix", f"{n_clusters} clusters: most pairs need not be computed"
    if n_steps > 1:
        reason = f"{n_terms} terms per sample: most samples soon keep their label"
        return "skips", reason
    return "tiles", f"{n_terms} terms per sample, at the speed of float32"


def _may_sieve(shape: tuple[int, ...], n_clusters: int, n_steps: int) -> bool:
    """Whether finding leading coordinates would pay, where there are any.

    They cost as much as some 200 centers; where the data has none, a pilot says so
    after a tenth of a second at most.
    """
    n_samples, n_features = shape
    work = float(n_samples) * n_features * n_clusters
    few = 128 if n_steps > 1 else 512
    return n_features >= 32 and n_clusters >= few and work >= 2e9
