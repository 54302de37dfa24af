"""What a worker of a cluster holds: its partitions in one array, with one engine.

`fastkm.dask` sends these functions to where the samples are; they know nothing of Dask.
For steps and assignments the partitions are one array: with an engine for each, 64
partitions of 60,000 x 784 samples and 1000 clusters took 25 times as long as one. For
all else a partition is a part (`engines.parts`), a view of that array.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import checkpoint, engines, validation
from fastkm.engines.base import Step
from fastkm.engines.parts import Memory, Part
from fastkm.exactsum import expansion

Array = NDArray[Any]


class Settings(NamedTuple):
    """How parts hold their samples."""

    n_clusters: int
    engine: str
    n_steps: int
    n_threads: int


class Block(NamedTuple):
    """A checked partition: samples, and their weights."""

    X: Array
    weights: Array | None


class Share:
    """The partitions of one worker, in one array, and the engine of its steps.

    ends : where its partitions begin and end in the array
    memories : what each partition remembers, as a part
    last : digest of the centers of the last step

    Sent elsewhere, it begins anew: its state does not travel.
    """

    def __init__(self, blocks: list[Block], settings: Settings) -> None:
        samples, weights = zip(*blocks, strict=True)
        self.X = in_one(samples)
        self.weights = None if weights[0] is None else in_one(weights)
        self.settings = settings
        self.ends = np.cumsum([0, *map(len, samples)]).tolist()
        self.memories = [Memory() for _ in samples]
        self.last = ""
        self._known: tuple[Array, tuple[Array, Array]] | None = None

    def __reduce__(self) -> Any:
        blocks = [self._block(slice(*ends)) for ends in pairwise(self.ends)]
        return Share, (blocks, self.settings)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.X.nbytes  # what Dask takes it for

    @functools.cached_property
    def engine(self) -> engines.InMemory:
        """Give the engine of the steps."""
        n_clusters, name, n_steps, n_threads = self.settings
        X, weights = self.X, self.weights
        choice = engines.choose(X, weights, n_clusters, n_threads, name, n_steps)
        assert isinstance(choice.engine, engines.InMemory)
        return choice.engine

    def step(self, centers: Array) -> Step:
        """Carry out a step."""
        self._known = None
        return self.engine.step(centers)

    def assign(self, centers: Array) -> tuple[Array, Array]:
        """Labels and distances of all samples; one part asks after the other."""
        if self._known is None or not np.array_equal(self._known[0], centers):
            self._known = centers, self.engine.assign(centers)
        return self._known[1]

    def part(self, number: int, start: int) -> Part:
        """Give a partition, which begins with the sample `start` of all."""
        rows = slice(*self.ends[number : number + 2])
        block, memory = self._block(rows), self.memories[number]

        def make(*_: Any) -> engines.InMemory:
            return InShare(self, rows, block)

        return Part(*block, start, self.settings.n_threads, make, memory)

    def _block(self, rows: slice) -> Block:
        return Block(self.X[rows], None if self.weights is None else self.weights[rows])


class InShare(engines.Lanes):
    """Some samples of a share, which are assigned together with the others."""

    def __init__(self, share: Share, rows: slice, block: Block) -> None:
        super().__init__(*block, share.settings.n_threads)
        self.share, self.in_share = share, rows

    def assign(self, centers: Array) -> tuple[Array, Array]:
        labels, distances = self.share.assign(centers)
        return labels[self.in_share].copy(), distances[self.in_share]


def in_one(arrays: tuple[Array, ...]) -> Array:
    """Give one array, without a copy of one alone."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


class Facts(NamedTuple):
    """What is to be known of a part.

    weight : the sum of its weights, as a short exact list
    """

    shape: tuple[int, int]
    dtype: str
    largest: float
    weight: list[float]
    weight_range: tuple[float, float]


def make_block(block: Any, weights: Any, number: int) -> Block | None:
    """Check a partition; None for one without samples."""
    name = f"X (partition {number})"
    if len(block) == 0:
        return None
    X = validation.as_samples(block, name=name)
    if weights is not None:
        weights = validation.as_part_weights(weights, len(X))
    return Block(X, weights)


def facts_of(block: Block | None) -> Facts | None:
    """Say what is to be known of a partition."""
    if block is None:
        return None
    X, weights = block
    some = np.ones(1) if weights is None else weights
    return Facts(
        X.shape,
        X.dtype.str,
        float(np.abs(X).max()),
        [float(len(X))] if weights is None else expansion(weights),
        (float(some.min()), float(some.max())),
    )


def answers(
    share: Share,
    numbers: list[int],
    starts: list[int],
    ask: Callable[..., Any],
    shared: tuple[Any, ...],
    own: list[tuple[Any, ...]],
) -> list[Any]:
    """Ask some parts of a share, of which each begins with the sample of its start."""
    found = []
    for number, start, one in zip(numbers, starts, own, strict=True):
        found.append(ask(share.part(number, start), *shared, *one))
    return found


def step_of(share: Share, centers: Array, last: str) -> Step:
    """Carry out a step; `last` is the digest of the centers of the step before."""
    step = share.step(centers)
    # A share that missed a step, or repeats one, cannot know who moved since.
    if share.last != last:
        step = step._replace(touched=np.ones(len(centers), bool))
    share.last = digest(centers)
    return step


def identity_of(part: Part) -> tuple[str, str | None]:
    """Digests of samples and weights."""
    X, weights = part.exact.X, part.exact.weights
    return checkpoint.digest(X), None if weights is None else checkpoint.digest(weights)


def digest(centers: Array) -> str:
    """Name for centers."""
    return checkpoint.digest(np.ascontiguousarray(centers))


def join(*steps: Step) -> Step:
    """Give the step over all parts."""
    return functools.reduce(Step.join, steps)
