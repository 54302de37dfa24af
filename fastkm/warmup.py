"""Compile ahead of time."""

from __future__ import annotations

import numpy as np

from fastkm.api import kmeans
from fastkm.engines.base import NONE, Array, read_only
from fastkm.engines.basis import make_basis
from fastkm.engines.blocks import Blocks
from fastkm.engines.lanes import Lanes
from fastkm.engines.sketch import Sketch
from fastkm.engines.span import Span
from fastkm.engines.tiles import Target, label_by
from fastkm.metrics import inertia, squared_distances

# Engine and number of features; the code for few features is made for each number.
KINDS = [("blocks", 1), ("blocks", 2), ("blocks", 3), ("blocks", 4)]
KINDS += [("lanes", 2), ("tiles", 16), ("skips", 16), ("prefix", 64)]


def warmup() -> None:
    """Compile all that common fits and predictions need, and keep it on the disk.

    Also of samples that are read in chunks (`fastkm.sources`).

    Takes a minute or two the first time, and a second or two when all is there. For
    the image of a container, or before a service takes requests; nothing depends on
    it. Code that is seldom needed is compiled when it is.

    Examples
    --------
    >>> import fastkm
    >>> fastkm.warmup()  # doctest: +SKIP
    """
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for engine, n_features in KINDS:
            # Few directions, so that leading coordinates rule pairs out; copies at the
            # end, so that some labels are ties, which only exact distances decide.
            X = rng.normal(size=(2000, 4)) @ rng.normal(size=(4, n_features))
            X[-20:] = X[:20]
            X = X.astype(dtype)
            kmeans(X, 130, random_state=0, max_iter=3, tol=1e-9, engine=engine)
            kmeans(X, 40, init=X[-40:].repeat(2, 0)[:40], max_iter=2, engine=engine)
            squared_distances(X[:10], X[:10])
            inertia(X, X[:3])
            kmeans(X[:50], 3, random_state=0)  # whole in one kernel
            if engine == "blocks":
                steps_in_leaves(X, X[:3].astype(np.float64))
            if engine == "skips":
                label_by_coordinates(X, X[:3].astype(np.float64))
                sketch_by_coordinates(X)
            if engine in ("lanes", "prefix"):  # few features and many, in chunks
                kmeans(X, 3, random_state=0, max_iter=2, max_memory=2**16)


def steps_in_leaves(X: Array, centers: Array) -> None:
    """Do what `engines.blocks` does once centers move little."""
    engine = Blocks(X, None, 1)
    engine.step(centers)
    at_rest = np.zeros(len(centers))
    engine._descend(at_rest)
    engine._follow(at_rest)


def label_by_coordinates(X: Array, centers: Array) -> None:
    """Do what `engines.span` does where there are millions of numbers."""
    labels, keys = np.empty(len(X), np.int32), np.empty(len(X), np.float32)
    scores = Span(1, read_only(X), X[0], centers).scores(centers)
    room = np.zeros(len(centers))
    label_by(scores, 1, NONE, Target(np.empty(len(X), np.int64), labels, keys, room))


def sketch_by_coordinates(X: Array) -> None:
    """Do what `engines.sketch` does where many samples lie in few directions."""
    samples, shift = Lanes(X, None, 1), X[0].astype(np.float64)
    basis = make_basis(X - shift, 4)
    Sketch(samples, 3, 1)._round_coordinates(samples, 1, shift, basis, n_lead=2)
