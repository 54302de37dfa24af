"""Exact k-means clustering on a CPU: one answer, on any number of threads, fast."""

from fastkm.api import (
    ConvergenceWarning,
    KMeansResult,
    Report,
    assign,
    kmeans,
    kmeans_plusplus,
)
from fastkm.bisecting import BisectingKMeans
from fastkm.classifier import ClusterClassifier
from fastkm.estimator import KMeans
from fastkm.minibatch import MiniBatchKMeans
from fastkm.path import KMeansPath, kmeans_path
from fastkm.spherical import SphericalKMeans

__version__ = "0.1.0"

__all__ = [
    "BisectingKMeans",
    "ClusterClassifier",
    "ConvergenceWarning",
    "KMeans",
    "KMeansPath",
    "KMeansResult",
    "MiniBatchKMeans",
    "Report",
    "SphericalKMeans",
    "assign",
    "kmeans",
    "kmeans_path",
    "kmeans_plusplus",
]
