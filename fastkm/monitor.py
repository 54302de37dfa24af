"""What is told after every iteration, and who may stop a fit.

`kmeans(callback=..., max_time=..., verbose=...)` meet here. A fit that is stopped gives
what it has: the run under way gets its labels and inertia, and the best run is kept.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastkm.lloyd import Run

Array = NDArray[Any]


class State(NamedTuple):
    """What a callback learns after an iteration.

    run : int, from 0; of `n_init`
    iteration : int, from 1, of this run
    centers : (n_clusters, n_features), read-only; a new array in every iteration
    shift : float, the summed squared movement of the centers
    n_changed : int, samples whose label changed; -1 where labels are not kept
    seconds : float, since the call of `kmeans`
    """

    run: int
    iteration: int
    centers: Array
    shift: float
    n_changed: int
    seconds: float


Callback = Callable[[State], Any]


class Monitor:
    """Told of every iteration; `stopped` says by whom the fit was stopped, if it was.

    The callback is asked before the clock, both after the iteration is complete.
    """

    def __init__(
        self,
        n_init: int,
        max_iter: int,
        *,
        callback: Callback | None = None,
        max_time: float = math.inf,
        verbose: int = 0,
    ) -> None:
        self.start = time.perf_counter()
        self.callback = callback
        self.max_time = max_time
        self.display = Display(n_init, max_iter) if verbose else None
        self.stopped: str | None = None

    @property
    def is_needed(self) -> bool:
        """Whether anybody wants to be told, or to stop the fit."""
        return bool(self.callback or self.display or self.max_time < math.inf)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *error: object) -> None:
        if self.display:
            self.display.close()

    def tell(self, number: int, run: Run) -> str | None:
        """Report an iteration of a run; returns what stops the fit, if anything."""
        if not self.is_needed:
            return None
        centers = run.centers.view()
        centers.flags.writeable = False
        seconds = time.perf_counter() - self.start
        state = State(
            number, run.n_iter, centers, run.shifts[-1], run.n_changed[-1], seconds
        )
        if self.display:
            self.display.show(state)
        if self.callback and np.any(self.callback(state)):
            self.stopped = "callback"
        elif seconds >= self.max_time:
            self.stopped = "max_time"
        return self.stopped


class Display:
    """Progress on stderr: a bar where tqdm is installed, else a line per iteration."""

    def __init__(self, n_init: int, max_iter: int) -> None:
        self.n_init, self.max_iter = n_init, max_iter
        self.number = -1
        self.bar: Any = None
        try:
            from tqdm import tqdm
        except ImportError:
            self.make_bar = None
        else:
            self.make_bar = tqdm

    def show(self, state: State) -> None:
        """Show the state after an iteration."""
        if self.make_bar is None:
            sys.stderr.write(
                f"fastkm: run {state.run + 1} of {self.n_init}, iteration "
                f"{state.iteration}: {changes(state)}, {state.seconds:.1f} s\n"
            )
            return
        if state.run != self.number:
            self.close()
            self.number = state.run
            self.bar = self.make_bar(
                total=self.max_iter,
                initial=state.iteration - 1,
                desc=f"run {state.run + 1} of {self.n_init}",
                unit=" iterations",
            )
        self.bar.set_postfix_str(changes(state), refresh=False)
        self.bar.update()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()


def changes(state: State) -> str:
    """Say what an iteration changed."""
    moved = f"centers moved {state.shift:.6g}"
    known = state.n_changed >= 0
    return f"{state.n_changed} labels changed, {moved}" if known else moved
