"""How good a clustering is, and the distances behind it."""

from fastkm.metrics.dispersion import calinski_harabasz_score, davies_bouldin_score
from fastkm.metrics.distances import cluster_loss, inertia, squared_distances
from fastkm.metrics.silhouettes import (
    silhouette_samples,
    silhouette_score,
    simplified_silhouette_samples,
    simplified_silhouette_score,
)

__all__ = [
    "calinski_harabasz_score",
    "cluster_loss",
    "davies_bouldin_score",
    "inertia",
    "silhouette_samples",
    "silhouette_score",
    "simplified_silhouette_samples",
    "simplified_silhouette_score",
    "squared_distances",
]
