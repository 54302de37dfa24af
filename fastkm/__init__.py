"""Exact k-means clustering on a CPU: one answer, on any number of threads, fast."""

from fastkm.api import (
    KMeansResult,
    Report,
    assign,
    farthest_first,
    kmeans,
    kmeans_plusplus,
    nearest_centers,
)
from fastkm.bases import ConvergenceWarning
from fastkm.classifier import ClusterClassifier
from fastkm.estimator import KMeans
from fastkm.many import KMeansRuns, kmeans_many

__version__ = "0.1.0"

__all__ = [
    "ClusterClassifier",
    "ConvergenceWarning",
    "KMeans",
    "KMeansResult",
    "KMeansRuns",
    "Report",
    "assign",
    "farthest_first",
    "kmeans",
    "kmeans_many",
    "kmeans_plusplus",
    "nearest_centers",
]
