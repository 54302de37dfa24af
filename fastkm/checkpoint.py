"""A file from which an interrupted fit goes on, to the same bits.

It holds the centers of the run under way, those of the best run before, the state of
the random generator and a digest of everything that decides the result: not a sample,
not a label. Nothing is unpickled, and all that is read is checked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastkm import files
from fastkm.lloyd import Run
from fastkm.restarts import Progress

Array = NDArray[Any]

FORMAT = "fastkm-checkpoint"
VERSION = 1
INTERVAL = 10.0  # seconds between two writes; a stop and an exception write, too

HISTORY = (
    "n_iter",
    "stop",
    "shifts",
    "n_changed",
    "n_refilled",
    "n_empty",
    "follows",
    "inertia",
)


class Checkpoint(Progress):
    """Progress that is kept in a file.

    Parameters
    ----------
    path : Path
        Read where it exists.
    fit : dict
        What decides the result, by name: see `fit_of`.
    rng : Generator
        The fit's; set to the state that it had when the file was written.

    Raises
    ------
    ValueError
        If the file is none of ours, damaged, or belongs to another fit.
    """

    def __init__(
        self, path: Path, fit: dict[str, Any], rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.path, self.fit, self.rng = path, fit, rng
        self.noted: tuple[Progress, dict[str, Any]] | None = None
        self.written = -math.inf
        if path.exists():
            self._read()

    def note(self) -> None:
        """Remember how far the fit has come; write it when the last was long ago."""
        current = self.current and dataclasses.replace(
            self.current,
            shifts=[*self.current.shifts],
            n_changed=[*self.current.n_changed],
        )
        noted = Progress([*self.inertias], self.best, self.best_run, current)
        self.noted = noted, dict(self.rng.bit_generator.state)
        if time.monotonic() - self.written > INTERVAL:
            self._write()

    def leave(self, complete: bool) -> None:
        """Remove the file of a complete fit, else write what was noted last."""
        if complete:
            self.path.unlink(missing_ok=True)
        else:
            self._write()

    def _write(self) -> None:
        if self.noted is None:
            return
        progress, state = self.noted
        runs = {"best": progress.best, "current": progress.current}
        text = {
            "fit": self.fit,
            "state": state,
            "inertias": progress.inertias,
            "best_run": progress.best_run,
            "runs": {
                name: run and {field: getattr(run, field) for field in HISTORY}
                for name, run in runs.items()
            },
        }
        arrays: dict[str, Any] = {
            "format": np.array(FORMAT),
            "version": np.array(VERSION),
            "text": np.array(_json(text)),
        }
        for name, run in runs.items():
            if run is not None:
                arrays[f"{name}_centers"] = run.centers
                arrays[f"{name}_previous"] = run.previous
        with files.replacing(self.path) as file:  # never seen half written
            np.savez(file, **arrays)
        self.written = time.monotonic()

    def _read(self) -> None:
        name = f"checkpoint={str(self.path)!r}"
        arrays = files.read_arrays(self.path, "checkpoint")
        if arrays.get("format", np.array("")).tolist() != FORMAT:
            raise ValueError(f"{name} is no checkpoint of fastkm")
        if arrays.get("version", np.array(0)).tolist() != VERSION:
            raise ValueError(
                f"{name} was written by another version of fastkm; only version "
                f"{VERSION} of the format is known here"
            )
        try:
            text = json.loads(str(arrays["text"]))
            differing = [key for key in self.fit if text["fit"][key] != self.fit[key]]
            if not differing:
                self._take_over(text, arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{name} is damaged ({error!r}); remove it to fit anew"
            ) from None
        for key in differing:
            raise ValueError(
                f"{name} belongs to another fit: {key} is {self.fit[key]!r} here and "
                f"{text['fit'][key]!r} there; remove it to fit anew"
            )

    def _take_over(self, text: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.inertias = [float(inertia) for inertia in text["inertias"]]
        self.best_run = int(text["best_run"])
        self.best = _run(text["runs"]["best"], "best", arrays, self.fit)
        self.current = _run(text["runs"]["current"], "current", arrays, self.fit)
        if self.best_run not in range(max(1, len(self.inertias))) or (
            bool(self.inertias) != (self.best is not None)
        ):
            raise ValueError("its runs do not add up")
        self.rng.bit_generator.state = text["state"]


def _run(
    history: Any, name: str, arrays: dict[str, Array], fit: dict[str, Any]
) -> Run | None:
    """Build the run that was written, if there was one."""
    if history is None:
        return None
    run = Run(
        arrays[f"{name}_centers"],
        previous=arrays[f"{name}_previous"],
        **{field: history[field] for field in HISTORY},
    )
    shape = fit["n_clusters"], fit["n_features"]
    for centers in (run.centers, run.previous):
        wrong = centers.shape != shape or centers.dtype != fit["dtype"]
        if wrong or not np.isfinite(centers).all():
            raise ValueError("centers of another form")
    if not 1 <= run.n_iter == len(run.shifts) == len(run.n_changed):
        raise ValueError("its iterations do not add up")
    return run


def fit_of(
    init: Any,
    rng: np.random.Generator | None,
    parameters: dict[str, Any],
    samples: dict[str, Any],
) -> dict[str, Any]:
    """Everything that decides a fit's result, as text and numbers.

    `rng` is None where no seed was given: whatever was drawn then goes on. `samples`
    are told from others by their shape, dtype and digests: see `samples_of`.
    """
    if callable(init):
        init = getattr(init, "__qualname__", type(init).__qualname__)
    state = None if rng is None else rng.bit_generator.state
    return {
        **parameters,
        **samples,
        "init": init if isinstance(init, str) else digest(init),
        "random_state": state and digest(_json(state).encode()),
    }


def samples_of(X: Any, weights: Array | None) -> dict[str, Any]:
    """What tells samples in an array or in chunks from others."""
    return {
        "n_samples": X.shape[0],
        "n_features": X.shape[1],
        "dtype": str(X.dtype),
        "sample_weight": None if weights is None else digest(weights),
        "X": digest(*([X] if isinstance(X, np.ndarray) else X)),
    }


def digest(*pieces: Any) -> str:
    """Digest of pieces of data in a row, wherever they are cut."""
    hashed = hashlib.sha256()
    for data in pieces:
        hashed.update(memoryview(data).cast("B"))
    return hashed.hexdigest()[:32]


def _json(value: Any) -> str:
    return json.dumps(value, default=np.ndarray.tolist)
