"""Runs from different initial centers, one after the other; the best is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastkm import lloyd

if TYPE_CHECKING:
    from fastkm.engines.base import Engine
    from fastkm.monitor import Monitor

Array = NDArray[Any]


@dataclass
class Progress:
    """The runs that are done, the best of them, and the run under way.

    A `checkpoint.Checkpoint` is one that is kept in a file.
    """

    inertias: list[float] = field(default_factory=list)
    best: lloyd.Run | None = None  # of the least inertia, the first among equals
    best_run: int = 0
    current: lloyd.Run | None = None

    def finish(self, run: lloyd.Run) -> None:
        """Take in a run that has ended."""
        if self.best is None or run.inertia < self.best.inertia:
            self.best, self.best_run = run, len(self.inertias)
        self.inertias.append(run.inertia)
        self.current = None

    def note(self) -> None:
        """Be told that a run begins, or that an iteration is complete."""

    def leave(self, complete: bool) -> None:
        """Be told that the fit ends, complete or not."""


def restarts(
    engine: Engine,
    initial_centers: Callable[[], Array],
    n_init: int,
    *,
    max_iter: int,
    threshold: float,
    rule: lloyd.Rule,
    monitor: Monitor,
    progress: Progress,
) -> lloyd.Run:
    """Go on with `progress` until `n_init` runs are done or the monitor stops it.

    Returns the best run.
    """

    def after(run: lloyd.Run) -> str | None:
        progress.note()
        return monitor.tell(len(progress.inertias), run)

    complete = False
    try:
        while len(progress.inertias) < n_init and not monitor.stopped:
            if progress.current is None:
                progress.note()
                progress.current = lloyd.Run(initial_centers())
            run = lloyd.resume(
                engine,
                progress.current,
                max_iter=max_iter,
                threshold=threshold,
                rule=rule,
                after=after,
            )
            progress.finish(run)
        best = progress.best
        assert best is not None
        if not len(best.labels):  # found before the checkpoint was written
            best.labels = engine.assignment(best.centers).labels
        complete = not monitor.stopped
    finally:
        progress.leave(complete)
    return best
