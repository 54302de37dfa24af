"""KMeans for Dask collections: samples that live on the workers of a cluster.

>>> import dask.array as da
>>> X = da.from_array([[0.0], [0.2], [9.0], [9.2]], chunks=(2, 1))
>>> model = KMeans(2, random_state=0).fit(X)
>>> sorted(model.cluster_centers_.round(1).ravel().tolist())
[0.1, 9.1]

Every partition becomes a part (`engines.parts`) on the worker that holds it, with an
engine that keeps its state from step to step. Centers go out, exact sums come back and
are joined in a tree; nothing else moves. A part that is lost with its worker is made
again from the collection's graph and begins without a state, which changes no bit.

The optional extra `dask` brings what is needed.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fastkm import api, engines, estimator, lloyd, validation
from fastkm.engines.base import Step
from fastkm.engines.chunks import CHUNK_BYTES
from fastkm.engines.parts import Part, Parted
from fastkm.exactsum import expansion
from fastkm.fits import OverAnEngine
from fastkm.monitor import Monitor
from fastkm.restarts import Progress
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

SCATTERED = (
    2**17
)  # Bytes of arguments that are sent to each worker once, not with tasks
FAN_IN = 4  # steps that are joined at a time
NOT_HERE = ("n_swaps", "checkpoint", "max_memory", "labels_out")


class Settings(NamedTuple):
    """How parts hold their samples."""

    n_clusters: int
    engine: str
    n_steps: int
    n_threads: int


class RemotePart(Part):
    """A part that stays where it is, with the engine of its steps.

    Sent elsewhere, it begins anew: its state does not travel.
    """

    def __init__(self, X: Array, weights: Array | None, settings: Settings) -> None:
        super().__init__(X, weights, 0, settings.n_threads)
        self.settings = settings
        self.last = ""  # digest of the centers of the last step

    def __reduce__(self) -> Any:
        return RemotePart, (self.exact.X, self.exact.weights, self.settings)

    def engine(self, n_clusters: int) -> engines.InMemory:
        """Give the engine of the steps."""
        return self._engine

    @functools.cached_property
    def _engine(self) -> engines.InMemory:
        n_clusters, name, n_steps, n_threads = self.settings
        X, weights = self.exact.X, self.exact.weights
        choice = engines.choose(X, weights, n_clusters, n_threads, name, n_steps)
        assert isinstance(choice.engine, engines.InMemory)
        return choice.engine


class Facts(NamedTuple):
    """What is to be known of a part.

    weight : the sum of its weights, as a short exact list
    """

    shape: tuple[int, int]
    dtype: str
    largest: float
    weight: list[float]
    weight_range: tuple[float, float]


def make_part(
    block: Any, weights: Any, number: int, settings: Settings
) -> RemotePart | None:
    """Check a partition and hold it; None for one without samples."""
    name = f"X (partition {number})"
    if len(block) == 0:
        return None
    X = validation.as_samples(block, name=name)
    if weights is not None:
        weights = validation.as_part_weights(weights, len(X))
    return RemotePart(X, weights, settings)


def facts_of(part: RemotePart | None) -> Facts | None:
    """Say what is to be known of a part."""
    if part is None:
        return None
    exact, weights = part.exact, part.exact.weights
    some = np.ones(1) if weights is None else weights
    return Facts(
        exact.shape,
        exact.X.dtype.str,
        float(np.abs(exact.X).max()),
        [float(exact.n_samples)] if weights is None else expansion(weights),
        (float(some.min()), float(some.max())),
    )


def answer(part: RemotePart, start: int, ask: Callable[..., Any], *given: Any) -> Any:
    """Ask a part that begins with the sample `start`."""
    part.start = start
    return ask(part, *given)


def step_of(part: RemotePart, centers: Array, last: str) -> Step:
    """Carry out a step; `last` is the digest of the centers of the step before."""
    engine = part.engine(len(centers))
    step = engine.step(centers)
    # A part that missed a step, or repeats one, cannot know who moved since.
    touched = step.touched if part.last == last else np.ones(len(centers), bool)
    part.last = digest(centers)
    return step._replace(touched=touched)


def digest(centers: Array) -> str:
    """Name for centers."""
    return hashlib.sha256(centers.tobytes()).hexdigest()


def join(*steps: Step) -> Step:
    """Give the step over all parts."""
    return functools.reduce(Step.join, steps)


class Pool:
    """Tasks on the workers of a client, or on threads of this process without one."""

    def __init__(self) -> None:
        try:
            from distributed import get_client

            self.client: Any = get_client()
        except (ImportError, ValueError):
            self.client = None

    def n_threads(self, n_parts: int) -> int:
        """Threads for each of so many parts at work."""
        threads = self.client.nthreads().values() if self.client else ()
        total = sum(threads) or validation.check_n_threads(None)
        return max(1, total // n_parts)

    def hold(self, values: list[Any]) -> list[Any]:
        """Compute delayed values where they are to stay."""
        if self.client:
            return self.client.compute(values)
        return list(dask.compute(*values, scheduler="threads"))

    def call(self, function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> Any:
        """Begin calls, of what is held and of other arguments."""
        if self.client:
            name = getattr(function, "__name__", "call")
            return [
                self.client.submit(
                    function, *call, pure=False, key=f"fastkm-{name}-{uuid4().hex}"
                )
                for call in calls
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

    Memory on the workers: the samples in one array per partition, and what the engines
    of the parts keep about them.
    """

    def __init__(self, X: Any, sample_weight: Any, settings: Settings) -> None:
        self.X, self.pool = as_array(X), Pool()
        blocks = self.X.to_delayed().ravel().tolist()
        weights: list[Any] = [None] * len(blocks)
        if sample_weight is not None:
            weights = as_weights(sample_weight, self.X).to_delayed().ravel().tolist()
        settings = settings._replace(
            n_threads=settings.n_threads or self.pool.n_threads(len(blocks))
        )
        make = dask.delayed(make_part, pure=False)
        calls = enumerate(zip(blocks, weights, strict=True))
        held = self.pool.hold(
            [make(block, weight, n, settings) for n, (block, weight) in calls]
        )
        facts = self.pool.results(self.pool.call(facts_of, [(part,) for part in held]))
        self.parts = [part for part, f in zip(held, facts, strict=True) if f]
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
        owned = [()] * len(self.parts) if own is None else [(one,) for one in own]
        parts = zip(self.parts, self.starts[:-1].tolist(), owned, strict=True)
        calls = [(part, start, ask, *shared, *one) for part, start, one in parts]
        yield from self.pool.results(self.pool.call(answer, calls))

    def some(
        self, ask: Callable[..., Any], parts: Array, own: Iterable[Any]
    ) -> Iterator[Any]:
        calls = [
            (self.parts[p], int(self.starts[p]), ask, one)
            for p, one in zip(parts, own, strict=True)
        ]
        yield from self.pool.results(self.pool.call(answer, calls))

    def step(self, centers: Array) -> Step:
        shared = self.pool.share(centers, centers.nbytes)
        steps = self.pool.call(
            step_of, [(part, shared, self.last) for part in self.parts]
        )
        while len(steps) > 1:
            groups = range(0, len(steps), FAN_IN)
            steps = self.pool.call(join, [tuple(steps[g : g + FAN_IN]) for g in groups])
        (step,) = self.pool.results(steps)
        self.last = digest(centers)
        return cast(Step, step)


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
    `n_threads` are those of one partition at work (by default the workers' threads are
    shared out); `labels_` is a Dask array that is not computed yet, as is what
    `predict` and `transform` give; `n_swaps`, `checkpoint`, `max_memory` and
    `labels_out` are not available.
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
        n_clusters = validation.check_integer(self.n_clusters, "n_clusters")
        init = validation.check_init(options["init"])
        n_init = validation.check_n_init(options["n_init"], init)
        max_iter = validation.check_integer(self.max_iter, "max_iter")
        tol = validation.check_tol(self.tol)
        n_threads = self.n_threads and validation.check_n_threads(self.n_threads)
        frozen = validation.as_frozen(self.frozen, n_clusters, init)
        watch = Monitor(
            n_init,
            max_iter,
            callback=validation.check_callback(self.callback),
            max_time=validation.check_max_time(self.max_time),
            verbose=validation.check_verbose(self.verbose),
        )
        rng = validation.check_random_state(self.random_state)
        name = validation.check_engine(self.engine)
        settings = Settings(n_clusters, name, n_init * max_iter, n_threads or 0)
        workers = Workers(X, sample_weight, settings)
        validation.check_n_clusters(n_clusters, workers.n_samples)
        if not isinstance(init, str) and not callable(init):
            init = validation.as_init(init, workers, n_clusters, workers.total_weight())
            n_init = 1
        reason = f"{len(workers.parts)} partitions; engine={name!r} for each"
        choice = engines.Choice(cast(Any, workers), "dask", reason)
        rule = lloyd.Rule(frozen=frozen)
        fit_options = Options(n_clusters, init, max_iter, tol, workers.n_threads, rule)
        fits = OverAnEngine(choice, cast(Any, workers), fit_options, rng, watch)
        progress = Progress()
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
    return api.assign(block, centers, n_threads=1)[0]


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
