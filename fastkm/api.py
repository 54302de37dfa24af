"""The functions that users call: check the arguments, run, wrap the result."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastkm import (
    arguments,
    engines,
    lloyd,
    monitor,
    outputs,
    seeding,
    small,
    swaps,
    validation,
)
from fastkm.bases import ConvergenceWarning
from fastkm.fits import Fits, InOneKernel, OverAnEngine
from fastkm.restarts import Progress

Array = NDArray[Any]


@dataclass(frozen=True)
class Report:
    """How a result came about.

    Attributes
    ----------
    engine, reason : str
        The engine that carried out the steps, and why it was chosen; "small" where the
        whole fit ran in one kernel.
    n_threads : int
        Threads that were allowed; small steps use fewer.
    stop : str
        What ended the best run: "unchanged" (no center changed, bit for bit), "tol"
        (the centers moved less than `tol` asks for) or "max_iter"; or what ended the
        fit before all its iterations were done: "callback" or "max_time".
    inertias : list of float
        Inertia of every run, in the order of the runs.
    best_run : int
        The run that was kept: the least inertia, the first among equals.
    n_refilled : int
        Empty clusters of the best run that took a sample.
    n_empty : int
        Clusters of the result without a sample, those of frozen centers aside.
    n_swapped : int
        Swaps of a center and a sample that lowered the inertia, of `n_swaps` attempts.
    shifts : list of float
        Summed squared movement of the centers, per iteration of the best run.
    n_changed : list of int
        Samples that changed their label, per iteration of the best run.
    counts : dict of str to int
        What the engine counted over all runs of this call, of samples or pairs of
        sample and center.
    """

    engine: str
    reason: str
    n_threads: int
    stop: str
    inertias: list[float] = field(repr=False)
    best_run: int
    n_refilled: int
    n_empty: int
    n_swapped: int
    shifts: list[float] = field(repr=False)
    n_changed: list[int] = field(repr=False)
    counts: dict[str, int]


class KMeansResult(NamedTuple):
    """A clustering; all fields belong together.

    centers (n_clusters, n_features) of the dtype of X, labels (n_samples,) int32,
    inertia float, n_iter int, report `Report`.
    """

    centers: Array
    labels: Array
    inertia: float
    n_iter: int
    report: Report


def kmeans(
    X: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    init: Any = "k-means++",
    n_init: int | str = "auto",
    max_iter: int = 300,
    tol: float = 1e-4,
    verbose: int = 0,
    random_state: validation.Seed = None,
    frozen: ArrayLike | None = None,
    n_threads: int | None = None,
    engine: str = "auto",
    n_swaps: int = 0,
    callback: monitor.Callback | None = None,
    max_time: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    max_memory: float | str | None = None,
    labels_out: outputs.Target = None,
    place: lloyd.Place = lloyd.mean,
) -> KMeansResult:
    """Split the samples into `n_clusters` groups by Lloyd's algorithm.

    Finds a local minimum of  inertia = sum_i w_i |X_i - centers[labels_i]|^2.
    Same bits as `fastkm.reference.kmeans`, for any number of threads.

    Parameters
    ----------
    X : array-like, sparse matrix or source (n_samples, n_features), finite
        float32 stays float32, float16 becomes float32, all else float64. Large arrays
        of booleans or of integers of at most 16 bits are used as they are, sparse
        matrices are made dense some MB at a time. For sources (files, and what else is
        read in chunks) see `fastkm.sources`.
    n_clusters : int, from 1 to n_samples
    sample_weight : array-like (n_samples,), not negative, optional
        A sample of weight 3 counts as three samples.
    init : {"k-means++", "k-means||", "random", "farthest"}, array-like or callable
        Greedy k-means++; k-means|| (many candidates in few passes, then k-means++ among
        them: for thousands of clusters); different random samples; a random sample,
        then always the one farthest from all before; centers (n_clusters, n_features);
        or `init(X, n_clusters, random_state=Generator)` that returns centers.
    n_init : int or "auto"
        Runs from different initial centers; the one with the least inertia is
        returned. "auto" is 10 for "random" and callables, otherwise 1.
    max_iter : int, at least 1
        Iterations of one run.
    tol : float, at least 0
        A run stops when the summed squared movement of the centers is at most `tol`
        times the mean variance of the features (weighted as the samples are). With 0
        it stops only when no center changes.
    verbose : int
        With 1, progress goes to stderr: a bar where tqdm is installed, else lines.
    random_state : int, Generator, RandomState, SeedSequence or None
        Same integer, same result. The samples of a small X (at most 2^15 numbers) may
        come in any order: those that are drawn as centers are the same.
    frozen : array-like (n_clusters,) of bool, optional
        Which of the centers that `init` gives do not move. Their clusters may be or
        become empty.
    n_threads : int, optional
        When None: `NUMBA_NUM_THREADS` where it is set, else as many as the process has
        CPUs, by its affinity and the container's quota. More than the CPUs at import,
        or than `NUMBA_NUM_THREADS`, are never started.
    engine : "auto" or the name of an engine
        How the steps are carried out. The result is the same.
    n_swaps : int, at least 0
        A way out of local minima: so often a sample, drawn in proportion to its
        squared distance, is tried in the place of every center of the best run, and
        takes the one where the inertia is least, if it falls. A run from these centers
        follows, and is kept if better. Each attempt costs a pass over the samples, the
        first one as much as an iteration with exact distances; 25 find what a handful
        of misplaced centers leaves.
    callback : callable, optional
        Called with a `fastkm.monitor.State` after every iteration. When it returns
        something true, the fit ends with what it has; what it raises comes out.
    max_time : float, above 0, optional
        Seconds after which no iteration begins. The fit ends with what it has; the
        first iteration is always done.
    checkpoint : path-like, optional
        A file that is written every 10 seconds, and whenever the fit ends before its
        time: by Ctrl-C or another exception, by `callback` or `max_time`. A call with
        the same data and parameters goes on from it, to the bits of a fit that was not
        interrupted. It is removed when the runs are done, before any swaps.
    max_memory : number of bytes or str such as "2 GB", optional
        What the fit may hold beyond an X that is an array. Samples of a source or a
        memmap are read into memory where they and all that a fit keeps about them take
        no more; otherwise they are read again in every pass, chunk by chunk. Half of
        the memory that is free when None. The result is the same.
    labels_out : array (n_samples,) of int32 or path, optional
        Where the labels go: a file (.npy) is written chunk by chunk, and the result's
        labels are a memmap of it. Needed where `max_memory` has no room for them.
    place : callable
        Where the center of a cluster belongs: `place(totals, centers)` gives new
        centers for the clusters' exact sums and weights (last column) and old centers.
        The mean, if it is not given; `fastkm.spherical` has another.

    Returns
    -------
    KMeansResult(centers, labels, inertia, n_iter, report)

    Raises
    ------
    ValueError
        If an argument is outside the ranges above, or the checkpoint belongs to other
        data or parameters; the message names it.

    Warns
    -----
    ConvergenceWarning
        When X has fewer distinct samples than `n_clusters`: some clusters stay empty.

    References
    ----------
    Lloyd, Least squares quantization in PCM (1982), section "Method I".
    Lattanzi and Sohler, A better k-means++ algorithm via local search (2019), algorithm
    LocalSearch++ (`n_swaps`).

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 2.0], [9.0, 0.0], [9.0, 2.0]]
    >>> result = kmeans(X, 2, init=[[0.0, 0.0], [9.0, 0.0]])
    >>> result.centers.tolist(), result.inertia
    ([[0.0, 1.0], [9.0, 1.0]], 4.0)
    """
    max_memory = validation.check_max_memory(max_memory)
    n_threads = validation.check_n_threads(n_threads)
    read = functools.partial(
        validation.as_input, max_memory=max_memory, n_threads=n_threads
    )
    data, weights = as_weighted(X, sample_weight, read)
    keeps, n_samples = validation.check_room(data, max_memory, labels_out), len(data)
    labels_out = outputs.check(labels_out, X, n_samples, np.int32, "labels_out")
    given = arguments.check(
        n_clusters=validation.check_n_clusters(n_clusters, n_samples),
        init=init,
        n_init=n_init,
        max_iter=max_iter,
        tol=tol,
        frozen=frozen,
        engine=engine,
        callback=callback,
        max_time=max_time,
        verbose=verbose,
        checkpoint=checkpoint,
    )
    n_swaps = validation.check_integer(n_swaps, "n_swaps", least=0)
    if n_swaps:
        validation.check_dense(data, "n_swaps")
    samples = engines.exact_engine(data, weights, n_threads, keeps=keeps)
    given = given.with_centers(data, samples.total_weight())
    rng = validation.check_random_state(random_state)  # last: it may draw a seed
    is_seeded = random_state is not None
    progress = given.progress(rng, is_seeded, place, lambda: identify(data, weights))
    n_clusters, init, n_init, max_iter, tol, held, name, watch, _ = given

    rule = lloyd.Rule(place, held)
    options = small.Options(n_clusters, init, max_iter, tol, n_threads, rule)
    is_watched = given.checkpoint is not None or watch.is_needed
    is_plain = not is_watched and held is None and place is lloyd.mean
    fits: Fits
    is_small = isinstance(samples, engines.Lanes) and small.serves(data, n_clusters)
    if name == "auto" and is_plain and is_small:
        fits = InOneKernel(samples, options, rng)
    else:
        n_steps = n_init * max_iter
        choice = engines.choose(
            data, weights, n_clusters, n_threads, name, n_steps, keeps=keeps
        )
        fits = OverAnEngine(choice, samples, options, rng, watch)
    with watch:
        best, n_swapped = fits.run(init, n_init, progress), 0
        if n_swaps and not watch.stopped:
            assert isinstance(samples, engines.Lanes)
            centers, n_swapped = swaps.swap(samples, best.centers, rng, n_swaps, held)
        if n_swapped:
            another = Progress(inertias=[*progress.inertias])
            best = best.followed_by(fits.run(centers, n_init + 1, another))
    if watch.stopped:
        best.stop = watch.stopped
    if labels_out is not None or not len(best.labels):
        with outputs.opened(labels_out, n_samples, np.int32) as labels:
            fits.write_labels(best, labels)
        best.labels = outputs.as_array(labels_out, labels)
    return as_result(fits, progress, best, n_threads, n_swapped)


def identify(X: Any, weights: Array | None) -> dict[str, Any]:
    """What tells the samples from others, for a checkpoint."""
    from fastkm.checkpoint import samples_of  # json, zipfile: for few

    return samples_of(X, weights)


def as_result(
    fits: Fits,
    progress: Progress,
    best: lloyd.Run,
    n_threads: int,
    n_swapped: int = 0,
) -> KMeansResult:
    """Wrap the best run; warns where it has empty clusters."""
    n_clusters = len(best.centers)
    if best.n_empty:
        validation.warn(
            f"Number of distinct clusters ({n_clusters - best.n_empty}) found smaller "
            f"than n_clusters ({n_clusters}). Possibly due to duplicate points in X.",
            ConvergenceWarning,
        )
    report = Report(
        engine=fits.name,
        reason=fits.reason,
        n_threads=n_threads,
        stop=best.stop,
        inertias=progress.inertias,
        best_run=progress.best_run,
        n_refilled=best.n_refilled,
        n_empty=best.n_empty,
        n_swapped=n_swapped,
        shifts=best.shifts,
        n_changed=best.n_changed,
        counts=dict(fits.counts),
    )
    return KMeansResult(best.centers, best.labels, best.inertia, best.n_iter, report)


def as_weighted(
    X: ArrayLike,
    sample_weight: ArrayLike | None,
    read: Callable[..., Array] = validation.as_samples,
) -> tuple[Array, Array | None]:
    """Checked samples and weights (None where all are one)."""
    samples = read(X)
    weights = validation.as_weights(sample_weight, len(samples))
    if weights is not None:
        read(samples, total_weight=float(weights.sum()))
    return samples, weights


def assign(
    X: ArrayLike,
    centers: ArrayLike,
    *,
    n_threads: int | None = None,
    max_memory: float | str | None = None,
    labels_out: outputs.Target = None,
    distances_out: outputs.Target = None,
) -> tuple[Array, Array]:
    """Find the nearest center of each sample, the lowest index among equals.

    Same bits as `fastkm.reference.assign`: decided by the squared distance whose every
    operation is rounded in float64, whatever the dtypes of X and centers.

    Parameters
    ----------
    X : array-like, sparse matrix or source (n_samples, n_features), finite
        For sources (files, and what else is read in chunks) see `fastkm.sources`.
    centers : array-like (n_clusters, n_features), finite
    n_threads : int, optional
    max_memory : number of bytes or str such as "2 GB", optional
        As in `kmeans`.
    labels_out : array (n_samples,) of int32 or path, optional
    distances_out : array (n_samples,) of float64 or path, optional
        Where labels and distances go: files (.npy) are written chunk by chunk, and
        memmaps of them returned.

    Returns
    -------
    labels : (n_samples,) int32
    distances : (n_samples,) float64
        Squared.

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> labels, distances = assign([[1.0], [4.0], [2.5]], [[1.0], [4.0]])
    >>> labels.tolist(), distances.tolist()
    ([0, 1, 0], [0.0, 0.0, 2.25])
    """
    max_memory = validation.check_max_memory(max_memory)
    n_threads = validation.check_n_threads(n_threads)
    samples = validation.as_input(X, max_memory=max_memory, n_threads=n_threads)
    n_samples = len(samples)
    centers = validation.as_centers(
        centers, n_features=samples.shape[1], total_weight=n_samples
    )
    labels_out = outputs.check(labels_out, X, n_samples, np.int32, "labels_out")
    distances_out = outputs.check(
        distances_out, X, n_samples, np.float64, "distances_out"
    )
    engine = engines.choose(samples, None, len(centers), n_threads).engine
    if labels_out is None and distances_out is None:
        return engine.assign(centers)
    with (
        outputs.opened(labels_out, n_samples, np.int32) as labels,
        outputs.opened(distances_out, n_samples, np.float64) as distances,
    ):
        engine.assign_into(centers, labels, distances)
    return (
        outputs.as_array(labels_out, labels),
        outputs.as_array(distances_out, distances),
    )


def nearest_labels(samples: Any, centers: Array, n_threads: int | None) -> Array:
    """Labels of checked samples, for estimators: those of `assign`, no distances."""
    centers = validation.as_centers(
        centers, n_features=samples.shape[1], total_weight=len(samples)
    )
    n_threads = validation.check_n_threads(n_threads)
    return engines.choose(samples, None, len(centers), n_threads).engine.label(centers)


def nearest_centers(
    X: ArrayLike,
    centers: ArrayLike,
    n_nearest: int,
    *,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """Find the few nearest centers of each sample, and their squared distances.

    Same bits as `fastkm.reference.nearest_centers`. No table of all distances is made.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    centers : array-like (n_clusters, n_features), finite
    n_nearest : int, from 1 to n_clusters
    n_threads : int, optional

    Returns
    -------
    labels : (n_samples, n_nearest) int32
        The nearest center first; equally near ones in the order of their indices.
    distances : (n_samples, n_nearest) float64
        Squared.

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    Examples
    --------
    >>> labels, distances = nearest_centers([[2.0]], [[0.0], [5.0], [4.0]], 2)
    >>> labels.tolist(), distances.tolist()
    ([[0, 2]], [[4.0, 4.0]])
    """
    data = validation.as_input(X)
    centers = validation.as_centers(
        centers, n_features=data.shape[1], total_weight=len(data)
    )
    n_nearest = validation.check_n_nearest(n_nearest, len(centers))
    n_threads = validation.check_n_threads(n_threads)
    answers = [
        engines.Lanes(chunk, None, n_threads).nearest(centers, n_nearest)
        for chunk in ([data] if isinstance(data, np.ndarray) else data)
    ]
    labels, distances = zip(*answers, strict=True)
    return np.concatenate(labels), np.concatenate(distances)


def _read_samples(
    X: ArrayLike, sample_weight: ArrayLike | None, n_threads: int | None
) -> engines.Lanes | engines.Chunked:
    """Samples to choose centers from, checked."""
    n_threads = validation.check_n_threads(n_threads)
    read = functools.partial(validation.as_input, n_threads=n_threads)
    return engines.exact_engine(*as_weighted(X, sample_weight, read), n_threads)


def kmeans_plusplus(
    X: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    n_local_trials: int | None = None,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """Choose samples as initial centers by greedy k-means++.

    Same draws as `fastkm.reference.kmeans_plusplus`.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    n_clusters : int, from 1 to n_samples
    sample_weight : array-like (n_samples,), optional
    n_local_trials : int, optional
        Candidates per step, of which the best is kept: 2 + floor(log(n_clusters))
        when None; 1 is plain k-means++.
    random_state : int, Generator, RandomState, SeedSequence or None
    n_threads : int, optional

    Returns
    -------
    centers : (n_clusters, n_features), of the dtype of X, float64 for integers
    indices : (n_clusters,) int64
        The chosen samples: centers == X[indices].

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007),
    section 2.2; the greedy form is in section 5.

    Examples
    --------
    >>> X = [[0.0], [0.1], [9.0], [9.1]]
    >>> centers, indices = kmeans_plusplus(X, 2, random_state=0)
    >>> centers.round().ravel().tolist()
    [9.0, 0.0]
    """
    samples = _read_samples(X, sample_weight, n_threads)
    n_clusters = validation.check_n_clusters(n_clusters, samples.n_samples)
    if n_local_trials is not None:
        n_local_trials = validation.check_integer(n_local_trials, "n_local_trials")
    rng = validation.check_random_state(random_state)
    indices = seeding.plusplus(samples, n_clusters, rng, n_local_trials)
    return samples.rows(indices), indices


def farthest_first(
    X: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    random_state: validation.Seed = None,
    n_threads: int | None = None,
) -> tuple[Array, Array]:
    """Choose a random sample, then always the one farthest from all before.

    Same draws as `fastkm.reference.farthest_first`. The largest distance of a sample to
    its nearest center is at most twice the least possible.

    Parameters
    ----------
    X : array-like or sparse matrix (n_samples, n_features), finite
    n_clusters : int, from 1 to n_samples
    sample_weight : array-like (n_samples,), optional
        Samples of weight zero come last.
    random_state : int, Generator, RandomState, SeedSequence or None
    n_threads : int, optional

    Returns
    -------
    centers : (n_clusters, n_features), of the dtype of X
    indices : (n_clusters,) int64
        The chosen samples: centers == X[indices].

    Raises
    ------
    ValueError
        If an argument is not as above; the message names it.

    References
    ----------
    Gonzalez, Clustering to minimize the maximum intercluster distance (1985), section
    2.

    Examples
    --------
    >>> X = [[0.0], [4.0], [10.0]]
    >>> farthest_first(X, 2, random_state=0)[0].ravel().tolist()
    [4.0, 10.0]
    """
    samples = _read_samples(X, sample_weight, n_threads)
    n_clusters = validation.check_n_clusters(n_clusters, samples.n_samples)
    rng = validation.check_random_state(random_state)
    indices = seeding.farthest(samples, n_clusters, rng)
    return samples.rows(indices), indices
