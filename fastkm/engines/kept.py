"""Kept: what is remembered of samples that are read again in every step.

With a label and a key for each (8 bytes, `engines.skips`), samples whose label cannot
have changed are not computed on, and a chunk of nothing but such is not even read. With
a label, `engines.prefix` looks only at centers that may win.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array, InMemory
from fastkm.engines.movements import added_room
from fastkm.engines.prefix import Prefix
from fastkm.engines.skips import Skips

SOME = 1024


class Kept(NamedTuple):
    """What the last step left.

    labels : (n_samples,) int32, -1 before the first step
    keys : (n_samples,) float32
    room : (n_clusters,), of the last step
    centers : those of the last step, float64; (0, n_features) before the first
    """

    labels: Array
    keys: Array
    room: Array
    centers: Array

    @classmethod
    def nothing(cls, n_samples: int, n_clusters: int, n_features: int) -> Kept:
        """Begin."""
        return cls(
            np.full(n_samples, -1, np.int32),
            np.full(n_samples, -np.inf, np.float32),
            np.zeros(n_clusters),
            np.empty((0, n_features)),
        )

    def of(self, rows: slice) -> Kept:
        """Give views of what is remembered of some samples."""
        return self._replace(labels=self.labels[rows], keys=self.keys[rows])

    def settled(self, room: Array) -> bool:
        """Whether no label can change with this room of the next step."""
        few = slice(SOME), slice(SOME, None)  # most often some of the first ones can
        return all((room[self.labels[s]] < self.keys[s]).all() for s in few)

    def after(self, centers: Array, room: Array) -> Kept:
        """Give the same, once all samples have been through a step of this room."""
        return self._replace(room=room, centers=centers)

    def raised(self, centers: Array) -> Array:
        """Room of the next step (`Skips.find`)."""
        if not len(self.centers):
            return self.room
        return np.nextafter(self.room + added_room(self.centers, centers), np.inf)


def recall(engine: InMemory, kept: Kept) -> None:
    """Let an engine go on as if the last step had been its own."""
    engine._labels, engine._centers = kept.labels, kept.centers
    if isinstance(engine, Skips):
        engine.keys, engine.room = kept.keys, kept.room


def advance(
    engine: InMemory, kept: Kept, centers: Array, totals: Array, touched: Array
) -> int:
    """`InMemory.advance` for some samples, from what is remembered of them."""
    if not isinstance(engine, Skips | Prefix) or not len(kept.labels):
        return engine.advance(centers, kept.labels, totals, touched)
    recall(engine, kept)
    found = np.empty(engine.n_samples, np.int32)
    if isinstance(engine, Prefix):
        kept.keys.fill(-np.inf)  # of another engine: it does not keep them true
    engine.find(centers, found, keep=True)
    n_changed = engine.update(kept.labels, found, totals, touched)
    kept.labels[:] = found
    return n_changed
