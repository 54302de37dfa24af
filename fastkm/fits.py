"""Two ways to fit samples from a start, or from several: `api.kmeans` picks one."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import numpy as np

from fastkm import lloyd, seeding, small
from fastkm.engines import Choice, Chunked, Lanes
from fastkm.engines.base import Values
from fastkm.monitor import Monitor
from fastkm.restarts import Progress, restarts
from fastkm.small import Options

Generator = np.random.Generator


class Fits(Protocol):
    """A way to fit samples from a start, once or several times."""

    name: str
    reason: str
    counts: Counter[str]

    def run(self, init: Any, n_init: int, progress: Progress) -> lloyd.Run:
        """Fit until `progress` holds n_init runs; gives the best. `init` is checked."""

    def write_labels(self, run: lloyd.Run, labels: Values) -> None:
        """Write the labels of a run."""


class InOneKernel:
    """Whole fits in one kernel: `fastkm.small`."""

    def __init__(
        self, samples: Lanes | Chunked, options: Options, rng: Generator
    ) -> None:
        assert isinstance(samples, Lanes)
        self.samples, self.options, self.rng = samples, options, rng
        self.name, self.reason = "small", "few terms: whole fits in one kernel"
        self.counts: Counter[str] = Counter()

    def run(self, init: Any, n_init: int, progress: Progress) -> lloyd.Run:
        if isinstance(init, np.ndarray):
            init = init[None]
        options = self.options._replace(init=init)
        problems = [self.samples] * (n_init - len(progress.inertias))
        for run in small.fit_all(problems, options, self.rng, history=True):
            progress.finish(run)
        assert progress.best is not None
        return progress.best

    def write_labels(self, run: lloyd.Run, labels: Values) -> None:
        labels[:] = run.labels


class OverAnEngine:
    """Step by step, over an engine that is built once for all starts."""

    def __init__(
        self,
        choice: Choice,
        samples: Lanes | Chunked,
        options: Options,
        rng: Generator,
        monitor: Monitor,
    ) -> None:
        self.samples, self.options, self.rng = samples, options, rng
        self.monitor = monitor
        self.engine, self.name, self.reason = choice
        self.counts = self.engine.counts
        tol = options.tol
        self.threshold = tol * lloyd.mean_variance(self.engine) if tol > 0 else 0.0

    def run(self, init: Any, n_init: int, progress: Progress) -> lloyd.Run:
        n_clusters, max_iter = self.options.n_clusters, self.options.max_iter

        def first_centers() -> Any:
            if isinstance(self.engine, Chunked):  # seeding needs the room
                self.engine.forget()
            return seeding.initial_centers(self.samples, n_clusters, init, self.rng)

        return restarts(
            self.engine,
            first_centers,
            n_init,
            max_iter=max_iter,
            threshold=self.threshold,
            rule=self.options.rule,
            monitor=self.monitor,
            progress=progress,
        )

    def write_labels(self, run: lloyd.Run, labels: Values) -> None:
        if len(run.labels):
            labels[:] = run.labels
        else:
            self.engine.assign_into(run.centers, labels, None)
