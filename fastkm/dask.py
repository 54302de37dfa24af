"""KMeans for Dask collections: samples that live on the workers of a cluster.

>>> import dask.array as da
>>> X = da.from_array([[0.0], [0.2], [9.0], [9.2]], chunks=(2, 1))
>>> model = KMeans(2, random_state=0).fit(X)
>>> sorted(model.cluster_centers_.round(1).ravel().tolist())
[0.1, 9.1]

The partitions that a worker holds become one array there, with one engine that keeps
its state from step to step and uses all threads (`fastkm.shares`). A worker is asked
once about all of its parts: centers go out, exact sums come back, joined in a tree;
nothing else moves. What is lost with a worker is made again from the collection's graph
and begins without a state, which changes no bit.

A fit's tasks are named on Dask's dashboard for what they do: "kmeans-step" and so on.

The optional extra `dask` brings what is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fastkm import api, arguments, checkpoint, engines, estimator, lloyd, validation
from fastkm.engines.base import Step
from fastkm.engines.chunks import CHUNK_BYTES
from fastkm.engines.parts import Parted
from fastkm.fits import OverAnEngine
from fastkm.shares import (
    Facts,
    Settings,
    Share,
    answers,
    digest,
    facts_of,
    identity_of,
    join,
    make_block,
    step_of,
)
from fastkm.small import Options
from fastkm.sources import natural, open_npy

try:
    import dask
    import dask.array as da
except ImportError:
    raise ImportError(
        "fastkm.dask needs Dask: python -m pip install 'fastkm[dask]'"
    ) from None

Array = NDArray[Any]

# Bytes of arguments that are sent to each worker once, not with tasks.
SCATTERED = 2**17
FAN_IN = 4  # steps that are joined at a time
NOT_HERE = "n_swaps", "max_memory", "labels_out"


def new_key(name: str) -> str:
    """Key of a task: the dashboard shows it without the number."""
    return f"kmeans-{name}-{uuid4().hex}"


class Pool:
    """Tasks on the workers of a client, or on threads of this process without one."""

    def __init__(self) -> None:
        try:
            from distributed import get_client

            self.client: Any = get_client()
        except (ImportError, ValueError):
            self.client = None

    def n_threads(self) -> int:
        """Threads for a task: those of a worker, or of this process."""
        if self.client:
            return max(1, min(self.client.nthreads().values(), default=1))
        return validation.check_n_threads(None)

    def by_worker(self, held: list[Any]) -> dict[str, list[int]]:
        """Numbers of what is held, by the name of who holds it."""
        if not self.client:
            return {"here": list(range(len(held)))}
        holders = self.client.who_has(held)
        groups: dict[str, list[int]] = {}
        for n, future in enumerate(held):
            held_by = holders.get(future.key) or ("",)  # lost: wherever it will be
            groups.setdefault(held_by[0], []).append(n)
        return groups

    def hold(self, values: list[Any]) -> list[Any]:
        """Compute delayed values where they are to stay."""
        if self.client:
            return self.client.compute(values)
        return list(dask.compute(*values, scheduler="threads"))

    def call(
        self,
        function: Callable[..., Any],
        calls: list[tuple[Any, ...]],
        name: str,
        workers: Iterable[str] = (),
    ) -> Any:
        """Begin calls, of what is held and of other arguments; each on its worker."""
        if self.client:
            return [
                self.client.submit(
                    *(function, *call),
                    pure=False,
                    key=new_key(name),
                    workers=worker or None,
                    allow_other_workers=bool(worker),
                )
                for call, worker in zip_longest(calls, workers)
            ]
        return list(
            dask.compute(
                *(
                    dask.delayed(lambda c=call: function(*c), pure=False)()
                    for call in calls
                ),
                scheduler="threads",
            )
        )

    def share(self, value: Any, n_bytes: int) -> Any:
        """Give a value to all workers, where it is large."""
        if self.client and n_bytes > SCATTERED:
            return self.client.scatter(value, broadcast=True, hash=False)
        return value

    def results(self, begun: list[Any]) -> list[Any]:
        """Wait for calls."""
        return self.client.gather(begun) if self.client else begun


class Workers(Parted):
    """The engine of this module (see there).

    Memory on the workers: the samples, in one array (while it is made, twice), what its
    engine keeps about them, and 12 bytes per sample (labels and distances). That is
    beside a collection that is persisted, unless it is one partition on each worker.

    places : of each part, its share's number and its own number there
    """

    def __init__(self, X: Any, sample_weight: Any, settings: Settings) -> None:
        self.X, self.pool = as_array(X), Pool()
        blocks = self.X.to_delayed().ravel().tolist()
        weights: list[Any] = [None] * len(blocks)
        if sample_weight is not None:
            weights = as_weights(sample_weight, self.X).to_delayed().ravel().tolist()
        settings = settings._replace(
            n_threads=settings.n_threads or self.pool.n_threads()
        )
        make = dask.delayed(make_block, pure=False)
        calls = enumerate(zip(blocks, weights, strict=True))
        held = self.pool.hold(
            [
                make(block, weight, n, dask_key_name=new_key("part"))
                for n, (block, weight) in calls
            ]
        )
        calls_of_facts = [(part,) for part in held]
        facts = self.pool.results(self.pool.call(facts_of, calls_of_facts, "facts"))
        held = [part for part, f in zip(held, facts, strict=True) if f]
        self.facts: list[Facts] = [f for f in facts if f]
        if not self.facts:
            raise ValueError("Found array with 0 sample(s): X has no rows")
        alike("numbers of features", [f.shape[1] for f in self.facts])
        alike("dtypes", [f.dtype for f in self.facts])
        sizes = [f.shape[0] for f in self.facts]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        shape = int(self.starts[-1]), self.facts[0].shape[1]
        super().__init__(shape, np.dtype(self.facts[0].dtype), None, settings.n_threads)
        self.has_weights = sample_weight is not None
        if self.total_weight() == 0:
            raise ValueError(
                "sample_weight is zero for every sample: one must be positive"
            )
        largest = max(f.largest for f in self.facts)
        validation.check_reach(largest, shape, "X", self.total_weight())
        groups = self.pool.by_worker(held)
        self.shares = self.pool.call(
            Share,
            [([held[p] for p in group], settings) for group in groups.values()],
            "share",
            groups,
        )
        places = {
            p: (n, own)
            for n, group in enumerate(groups.values())
            for own, p in enumerate(group)
        }
        self.places = [places[p] for p in range(len(held))]
        self.last = ""

    @property
    def is_uneven(self) -> bool:
        """Whether samples differ in weight."""
        lows, highs = zip(*(f.weight_range for f in self.facts), strict=True)
        return min(lows) < max(highs)

    def total_weight(self) -> float:
        """Exact sum of the weights."""
        return math.fsum(chain.from_iterable(f.weight for f in self.facts))

    def given(self) -> Any:
        """Give the collection to a function of the user's."""
        return self.X

    def each(
        self, ask: Callable[..., Any], *shared: Any, own: Iterable[Any] | None = None
    ) -> Iterator[Any]:
        n_parts = len(self.places)
        owned = [()] * n_parts if own is None else [(one,) for one in own]
        yield from self._ask(ask, list(range(n_parts)), shared, owned)

    def some(
        self, ask: Callable[..., Any], parts: Array, own: Iterable[Any]
    ) -> Iterator[Any]:
        yield from self._ask(ask, parts.tolist(), (), [(one,) for one in own])

    def _ask(
        self,
        ask: Callable[..., Any],
        numbers: list[int],
        shared: tuple[Any, ...],
        own: list[Any],
    ) -> list[Any]:
        """Answers of some parts, in their order."""
        groups: dict[int, list[int]] = {}
        for n, p in enumerate(numbers):
            groups.setdefault(self.places[p][0], []).append(n)
        calls = [
            (
                self.shares[share],
                [self.places[numbers[n]][1] for n in group],
                [int(self.starts[numbers[n]]) for n in group],
                ask,
                shared,
                [own[n] for n in group],
            )
            for share, group in groups.items()
        ]
        begun = self.pool.call(answers, calls, ask.__name__.strip("_"))
        found = zip(
            chain(*groups.values()), chain(*self.pool.results(begun)), strict=True
        )
        return [answer for _, answer in sorted(found, key=lambda pair: pair[0])]

    def step(self, centers: Array, moved: Array | None = None) -> Step:
        shared = self.pool.share(centers, centers.nbytes)
        calls = [(share, shared, self.last) for share in self.shares]
        steps = self.pool.call(step_of, calls, "step")
        while len(steps) > 1:
            groups = range(0, len(steps), FAN_IN)
            calls = [tuple(steps[g : g + FAN_IN]) for g in groups]
            steps = self.pool.call(join, calls, "join")
        (step,) = self.pool.results(steps)
        self.last = digest(centers)
        return cast(Step, step)

    def identity(self) -> dict[str, Any]:
        """What tells samples from others, for a checkpoint: also how they are cut."""
        X, weights = zip(*self.each(identity_of), strict=True)
        joined = [
            checkpoint.digest("".join(digests).encode()) if digests[0] else None
            for digests in (X, weights)
        ]
        return {
            "n_samples": self.n_samples,
            "n_features": self.n_features,
            "dtype": str(self.dtype),
            "sample_weight": joined[1],
            "X": joined[0],
        }


def alike(what: str, values: list[Any]) -> None:
    """Refuse partitions that differ in what they hold."""
    if len(set(values)) > 1:
        raise ValueError(f"partitions of X have several {what}: {set(values)}")


def as_array(
    X: Any, n_features: int | None = None, expected_by: str = "the model"
) -> Any:
    """Give a Dask array whose blocks hold whole rows."""
    if hasattr(X, "to_dask_array"):
        X = X.to_dask_array()
    if not isinstance(X, da.Array):
        raise TypeError(
            f"X is a {type(X).__name__}; fastkm.dask takes dask.array and "
            "dask.dataframe collections, fastkm.KMeans all others"
        )
    validation.check_shape(X.shape, "X", n_features, expected_by)
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def as_weights(sample_weight: Any, X: Any) -> Any:
    """Give weights as a Dask array in the blocks of the samples."""
    if hasattr(sample_weight, "to_dask_array"):
        sample_weight = sample_weight.to_dask_array()
    known = not any(math.isnan(n) for n in X.chunks[0])
    if not isinstance(sample_weight, da.Array):
        if not known:
            raise ValueError(
                "sample_weight must be a Dask collection where the lengths of X's "
                "partitions are not known"
            )
        sample_weight = da.from_array(np.asarray(sample_weight), chunks=(X.chunks[0],))
    if known and sample_weight.shape != X.shape[:1]:
        raise ValueError(
            f"sample_weight has shape {sample_weight.shape}, expected {X.shape[:1]}"
        )
    if known:
        sample_weight = sample_weight.rechunk((X.chunks[0],))
    if sample_weight.numblocks != X.numblocks[:1]:
        raise ValueError(
            f"sample_weight has {sample_weight.numblocks[0]} partitions, X has "
            f"{X.numblocks[0]}: they must be partitioned alike"
        )
    return sample_weight


class KMeans(estimator.KMeans):
    """`fastkm.KMeans` for `dask.array` and `dask.dataframe` collections.

    The bits are those of `fastkm.KMeans` on the same samples in one array, for any
    partitions and any number of workers. Work is done by the current
    `dask.distributed.Client`, or by threads of this process where there is none.

    The parameters and attributes are those of `fastkm.KMeans`, with these differences:
    `n_threads` are those of one worker (by default all that it has); `labels_` is a
    Dask array that is not computed yet, as is what `predict` and `transform` give; a
    `checkpoint` is a file of the client's, and goes on with the same partitions;
    `n_swaps`, `max_memory` and `labels_out` are not available.
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> KMeans:
        """Cluster the samples.

        Parameters
        ----------
        X : dask.array.Array or dask.dataframe.DataFrame (n_samples, n_features), finite
        y : ignored
        sample_weight : Dask collection or array-like (n_samples,), optional
            Partitioned as X is.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or a parameter is out of its range; the message names it, and the
            partition.
        """
        options = self._clustering()
        for name in NOT_HERE:
            if options[name]:
                raise ValueError(
                    f"{name}={options[name]!r} is not available for Dask collections"
                )
        apart = {*NOT_HERE, "n_threads", "random_state"}
        common = {name: options[name] for name in options.keys() - apart}
        given = arguments.check(**common)
        n_threads = self.n_threads and validation.check_n_threads(self.n_threads)
        rng = validation.check_random_state(self.random_state)
        n_steps = given.n_init * given.max_iter
        settings = Settings(given.n_clusters, given.engine, n_steps, n_threads or 0)
        workers = Workers(X, sample_weight, settings)
        validation.check_n_clusters(given.n_clusters, workers.n_samples)
        given = given.with_centers(workers, workers.total_weight())
        is_seeded = self.random_state is not None
        progress = given.progress(rng, is_seeded, lloyd.mean, workers.identity)
        n_clusters, init, n_init, max_iter, tol, frozen, name, watch, _ = given
        reason = f"{len(workers.places)} partitions; engine={name!r} on each worker"
        choice = engines.Choice(cast(Any, workers), "dask", reason)
        rule = lloyd.Rule(frozen=frozen)
        fit_options = Options(n_clusters, init, max_iter, tol, workers.n_threads, rule)
        fits = OverAnEngine(choice, cast(Any, workers), fit_options, rng, watch)
        with watch:
            best = fits.run(init, n_init, progress)
        if watch.stopped:
            best.stop = watch.stopped
        result = api.as_result(fits, progress, best, workers.n_threads)
        self.cluster_centers_ = result.centers
        self.n_features_in_ = workers.n_features
        self.labels_ = self.predict(X)
        self.inertia_, self.n_iter_ = result.inertia, result.n_iter
        self.report_ = result.report
        return self

    def predict(self, X: Any) -> Any:
        """Label (int32) of the nearest center of each sample: a lazy Dask array."""
        blocks = self._blocks(X)
        return blocks.map_blocks(
            labels_of, self.cluster_centers_, dtype=np.int32, drop_axis=1
        )

    def transform(self, X: Any) -> Any:
        """Distances (n_samples, n_clusters), *not* squared: a lazy Dask array."""
        blocks = self._blocks(X)
        return blocks.map_blocks(
            distances_of,
            self.cluster_centers_,
            dtype=np.float32 if blocks.dtype == np.float32 else np.float64,
            chunks=(blocks.chunks[0], (len(self.cluster_centers_),)),
        )

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Inertia of X about the fitted centers, with the sign turned."""
        self._blocks(X)
        centers = self.cluster_centers_
        settings = Settings(len(centers), "auto", 0, self.n_threads or 0)
        workers = Workers(X, sample_weight, settings)
        return -workers.assignment(centers).inertia()

    def _blocks(self, X: Any) -> Any:
        self._check_fitted()
        return as_array(X, self.n_features_in_, type(self).__name__)


def labels_of(block: Array, centers: Array) -> Array:
    """Labels of a block."""
    if not len(block):
        return np.empty(0, np.int32)
    return estimator.KMeans.from_centers(centers, n_threads=1).predict(block)


def distances_of(block: Array, centers: Array) -> Array:
    """Distances of a block."""
    model = estimator.KMeans.from_centers(centers, n_threads=1)
    return model.transform(block)


def open_folder(path: Path) -> Any:
    """Give a Parquet file, or a folder of .npy or Parquet files, as a collection.

    Files are read by the workers, which have to find them under the same path.
    """
    parts = sorted(path.glob("*.npy"), key=natural) if path.is_dir() else []
    if not parts:
        from dask.dataframe import read_parquet

        return read_parquet(path)
    load = dask.delayed(np.load)
    blocks = []
    for part in parts:
        header = open_npy(part, "X", CHUNK_BYTES).array
        delayed = load(part.resolve(), allow_pickle=False)
        blocks.append(da.from_delayed(delayed, header.shape, header.dtype))
    return da.concatenate(blocks)
