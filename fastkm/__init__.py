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
from fastkm.bisecting import BisectingKMeans
from fastkm.classifier import ClusterClassifier
from fastkm.estimator import KMeans
from fastkm.many import KMeansRuns, kmeans_many
from fastkm.minibatch import MiniBatchKMeans
from fastkm.path import KMeansPath, kmeans_path
from fastkm.spherical import SphericalKMeans
from fastkm.warmup import warmup

__version__ = "0.1.0"

__all__ = [
    "BisectingKMeans",
    "ClusterClassifier",
    "ConvergenceWarning",
    "KMeans",
    "KMeansPath",
    "KMeansResult",
    "KMeansRuns",
    "MiniBatchKMeans",
    "Report",
    "SphericalKMeans",
    "assign",
    "farthest_first",
    "kmeans",
    "kmeans_many",
    "kmeans_path",
    "kmeans_plusplus",
    "nearest_centers",
    "warmup",
]
