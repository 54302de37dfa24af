"""Exact k-means clustering on a CPU: one answer, on any number of threads, fast."""

from fastkm.api import (
    ConvergenceWarning,
    KMeansResult,
    Report,
    assign,
    kmeans,
    kmeans_plusplus,
)
from fastkm.classifier import ClusterClassifier
from fastkm.estimator import KMeans
from fastkm.warmup import warmup

__version__ = "0.1.0"

__all__ = [
    "ClusterClassifier",
    "ConvergenceWarning",
    "KMeans",
    "KMeansResult",
    "Report",
    "assign",
    "kmeans",
    "kmeans_plusplus",
    "warmup",
]
