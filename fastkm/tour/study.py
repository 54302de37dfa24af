"""The parts of the tour, one after the other, then the report."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sklearn.cluster
from tqdm import tqdm

from fastkm import ClusterClassifier, kmeans
from fastkm.datasets import (
    load_mnist,
    make_blobs_and_tail,
    make_diagonal,
    make_noisy_ring,
)
from fastkm.files import replacing
from fastkm.tour import INITS, clusterings, digits, machine, report, restarts, timing
from fastkm.tour.pictures import Album
from fastkm.tour.timing import Limits


class Plan(NamedTuple):
    """How much of the study is run.

    The two curves, of every `stride`-th size, share what the parts before them,
    compiling above all, leave of `seconds`; each gets at least and at most
    `curve_seconds`. Samples take no more than `n_bytes`.
    """

    n_restarts: int
    stride: int
    runs_2d: int
    runs_100d: int
    seconds: float
    curve_seconds: tuple[float, float]
    n_bytes: float


PLANS = {
    "short": Plan(50, 4, 3, 3, 0, (1, 1), 1e8),
    "default": Plan(1000, 1, 3, 3, 45, (3, 12), 5e8),
    # The largest sample of the notebook takes 2.02 GB in 100-D.
    "full": Plan(1000, 1, 20, 10, 0, (math.inf, math.inf), 2.1e9),
}
N_SAMPLES = 300  # in the plane
N_BLOB_CLUSTERS = 5  # where the kinds of start differ
N_RING_CLUSTERS = 6


class Progress:
    """A bar over the parts, one inside a part, and a line for each part done.

    All on stderr, the bars only where that is a terminal.
    """

    def __init__(self) -> None:
        self.bar = tqdm(
            total=6,
            disable=None,
            leave=False,
            bar_format="{desc}{bar:24} {n_fmt} of {total_fmt} parts, {elapsed}",
        )
        self.started = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Show what is being done, then say how long it took."""
        self.bar.set_description(name)
        before = self.seconds()
        yield
        self.bar.update()
        tqdm.write(f"{name}: {self.seconds() - before:.1f} s", file=sys.stderr)

    def track(self, items: Iterable[Any], name: str) -> Iterable[Any]:
        """Pass the items on, and show how many are done."""
        return tqdm(items, desc=name, disable=None, leave=False)


def run(folder: Path, *, mnist: str | None, length: str, seed: int) -> str:
    """Run the study and write report.html and its pictures.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    mnist : str, optional
        Directory of the IDX files, to classify MNIST in place of the small digits.
    length : {"short", "default", "full"}
    seed : int, at least 0

    Returns
    -------
    str
        A summary for a terminal.
    """
    plan = PLANS[length]
    load_before = machine.load()
    if mnist is None:
        task = digits.small_task(seed)
    else:
        task = digits.mnist_task(load_mnist(mnist), seed)
    blobs = make_blobs_and_tail(N_SAMPLES, random_state=seed)
    ring = make_noisy_ring(N_SAMPLES, random_state=seed)
    folder.mkdir(parents=True, exist_ok=True)
    album = Album(folder)
    progress = Progress()
    with progress.bar, replacing(folder / "report.html") as file:
        with progress.part("compiling"):
            _warm_up(task)
        compiling = progress.seconds()
        with progress.part("clusterings in the plane"):
            plane = [
                clusterings.draw(*arguments, seed=seed, album=album)
                for arguments in (
                    ("blobs", "Two blobs and a tail", blobs, N_BLOB_CLUSTERS),
                    ("ring", "A noisy ring", ring, N_RING_CLUSTERS),
                )
            ]
        with progress.part(f"three kinds of start, {plan.n_restarts} restarts each"):
            comparison = restarts.compare(
                blobs,
                N_BLOB_CLUSTERS,
                plan.n_restarts,
                seed=seed,
                album=album,
                track=progress.track,
            )
        curves = _curves(plan, progress, seed=seed, album=album)
        n_clusters = task.parameters["n_clusters"]
        with progress.part(f"{task.name} in {n_clusters} clusters"):
            classified = digits.classify(task, album)
        result = report.Study(
            length,
            seed,
            plane,
            comparison,
            curves,
            classified,
            load_before,
            compiling,
            progress.seconds(),
        )
        file.write(report.render(result).encode())
    return report.summary(result, folder / "report.html", len(album.pictures))


def _curves(
    plan: Plan, progress: Progress, *, seed: int, album: Album
) -> list[timing.Curve]:
    curves = []
    least, most = plan.curve_seconds
    for generate, n_features, n_runs, share in (
        (make_blobs_and_tail, 2, plan.runs_2d, 0.5),
        (make_diagonal, 100, plan.runs_100d, 1),
    ):
        left = share * (plan.seconds - progress.seconds())
        limits = Limits(plan.stride, n_runs, min(max(left, least), most), plan.n_bytes)
        with progress.part(f"training time in {n_features}-D"):
            curve = timing.measure(
                generate,
                n_features,
                limits,
                seed=seed,
                album=album,
                track=progress.track,
            )
        curves.append(curve)
    return curves


def _warm_up(task: digits.Task) -> None:
    """Call once what will be timed: a first call compiles."""
    large = make_diagonal(5_000, random_state=0)
    for X in (make_blobs_and_tail(300), make_blobs_and_tail(50_000), large):
        for init in INITS:
            kmeans(X, 6, init=init, n_init=1, random_state=0)
    train, labels, test, _ = task.digits
    few = {**task.parameters, "max_iter": 2}
    model = ClusterClassifier(**few)
    some = slice(max(1000, 2 * few["n_clusters"]))
    model.fit(train[some], labels[some]).predict(test[:1000])
    sklearn.cluster.KMeans(6, n_init=1, random_state=0).fit(large)
