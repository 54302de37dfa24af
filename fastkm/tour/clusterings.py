"""What k-means makes of two data sets in the plane, from each kind of start."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastkm import Report, kmeans, plotting
from fastkm.metrics import cluster_loss
from fastkm.tour import INITS
from fastkm.tour.pictures import Album, Picture, new_figure

Array = NDArray[Any]


class Clusterings(NamedTuple):
    """One data set clustered from each kind of start."""

    title: str
    n_samples: int
    n_clusters: int
    pictures: list[Picture]
    report: Report


def draw(
    name: str, title: str, X: Array, n_clusters: int, *, seed: int, album: Album
) -> Clusterings:
    """Cluster X once for each init, and draw the three results."""
    pictures = []
    for init in INITS:
        result = kmeans(X, n_clusters, init=init, n_init=1, random_state=seed)
        loss = cluster_loss(X, result.labels)
        figure = new_figure(4.6, 4.6)
        ax = figure.subplots()
        plotting.plot_clusters(X, result.labels, result.centers, ax=ax, boundaries=True)
        ax.set_title(f"{init}: inertia {result.inertia:.1f}, loss {loss:.4f}")
        alt = (
            f"{title} in {n_clusters} clusters from init={init!r}: inertia "
            f"{result.inertia:.1f}, loss {loss:.4f}, {result.n_iter} iterations"
        )
        pictures.append(album.add(f"{name}-{init}", figure, alt))
    return Clusterings(title, len(X), n_clusters, pictures, result.report)
