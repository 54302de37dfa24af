"""The arguments that fits have in common, wherever the samples are: checked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import validation
from fastkm.monitor import Monitor
from fastkm.restarts import Progress

Array = NDArray[Any]
Generator = np.random.Generator


class Arguments(NamedTuple):
    """Checked arguments of a fit; see `api.kmeans`.

    watch : told of every iteration, from `callback`, `max_time` and `verbose`
    """

    n_clusters: int
    init: Any
    n_init: int
    max_iter: int
    tol: float
    frozen: Array | None
    engine: str
    watch: Monitor
    checkpoint: Path | None

    def with_centers(self, samples: Any, total_weight: float) -> Arguments:
        """Check centers that are given against the samples; one run starts there."""
        if isinstance(self.init, str) or callable(self.init):
            return self
        init = validation.as_init(self.init, samples, self.n_clusters, total_weight)
        if self.n_init > 1:
            validation.warn_of_one_init(self.n_init)
        return self._replace(init=init, n_init=1)

    def progress(
        self,
        rng: Generator,
        is_seeded: bool,
        place: Callable[..., Any],
        identify: Callable[[], dict[str, Any]],
    ) -> Progress:
        """Begin, or go on from the checkpoint; `identify` tells samples from others."""
        if self.checkpoint is None:
            return Progress()
        from fastkm.checkpoint import Checkpoint, fit_of  # json, zipfile: for few

        parameters = {
            "n_clusters": self.n_clusters,
            "n_init": self.n_init,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "frozen": (
                None if self.frozen is None else np.flatnonzero(self.frozen).tolist()
            ),
            "place": place.__qualname__,
        }
        fit = fit_of(self.init, rng if is_seeded else None, parameters, identify())
        return Checkpoint(self.checkpoint, fit, rng)


def check(
    *,
    n_clusters: Any,
    init: Any,
    n_init: Any,
    max_iter: Any,
    tol: Any,
    frozen: Any,
    engine: Any,
    callback: Any,
    max_time: Any,
    verbose: Any,
    checkpoint: Any,
) -> Arguments:
    """Check what can be checked without the samples.

    Raises
    ------
    ValueError
        If an argument is out of its range; the message names it.
    """
    n_clusters = validation.check_integer(n_clusters, "n_clusters")
    init = validation.check_init(init)
    n_init = validation.check_n_init(n_init, init)
    max_iter = validation.check_integer(max_iter, "max_iter")
    return Arguments(
        n_clusters,
        init,
        n_init,
        max_iter,
        validation.check_tol(tol),
        validation.as_frozen(frozen, n_clusters, init),
        validation.check_engine(engine),
        Monitor(
            n_init if isinstance(init, str) or callable(init) else 1,
            max_iter,
            callback=validation.check_callback(callback),
            max_time=validation.check_max_time(max_time),
            verbose=validation.check_verbose(verbose),
        ),
        validation.as_checkpoint(checkpoint),
    )
