"""Three kinds of start compared over many restarts on one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastkm import kmeans_many
from fastkm.metrics import cluster_loss
from fastkm.tour import INITS
from fastkm.tour.pictures import BLUE, GREEN, ORANGE, Album, Picture, new_figure

Array = NDArray[Any]
Track = Callable[[Iterable[Any], str], Iterable[Any]]

COLORS = dict(zip(INITS, (BLUE, ORANGE, GREEN), strict=True))
EQUAL = 1e-9  # relative: the same clustering, its clusters named in another order
NEAR = 0.01  # relative: about as good


class Row(NamedTuple):
    """One kind of start: averages and shares over its restarts."""

    init: str
    mean_loss: float
    best_loss: float
    share_best_loss: float
    mean_inertia: float
    share_near_inertia: float
    mean_iterations: float


class Comparison(NamedTuple):
    """All kinds of start, on the same samples."""

    n_samples: int
    n_clusters: int
    n_restarts: int
    best_loss: float
    best_inertia: float
    rows: list[Row]
    pictures: list[Picture]


def compare(
    X: Array, n_clusters: int, n_restarts: int, *, seed: int, album: Album, track: Track
) -> Comparison:
    """Run k-means `n_restarts` times from each kind of start."""
    rng = np.random.default_rng(seed)
    losses, inertias, iterations = {}, {}, {}
    for init in track(INITS, "restarts"):
        runs = kmeans_many(
            X, n_clusters, n_runs=n_restarts, init=init, random_state=rng
        )
        losses[init] = np.array([cluster_loss(X, labels) for labels in runs.labels])
        inertias[init], iterations[init] = runs.inertia, float(runs.n_iter.mean())
    best_loss = min(float(loss.min()) for loss in losses.values())
    best_inertia = min(float(inertia.min()) for inertia in inertias.values())
    rows = [
        Row(
            init=init,
            mean_loss=float(losses[init].mean()),
            best_loss=float(losses[init].min()),
            share_best_loss=float(np.mean(losses[init] <= best_loss * (1 + EQUAL))),
            mean_inertia=float(inertias[init].mean()),
            share_near_inertia=float(
                np.mean(inertias[init] <= best_inertia * (1 + NEAR))
            ),
            mean_iterations=iterations[init],
        )
        for init in INITS
    ]
    pictures = [_draw("inertia", inertias, album), _draw("loss", losses, album)]
    return Comparison(
        len(X), n_clusters, n_restarts, best_loss, best_inertia, rows, pictures
    )


def _draw(measure: str, values: dict[str, Array], album: Album) -> Picture:
    figure = new_figure(5.4, 3.9)
    ax = figure.subplots()
    for init in INITS:
        ax.ecdf(values[init], label=init, color=COLORS[init])
    ax.set_xlabel(f"{measure} (less is better)")
    ax.set_ylabel("share of restarts at or below")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return album.add(
        f"restarts-{measure}",
        figure,
        f"Share of restarts that end at or below each {measure}, by kind of start",
    )
