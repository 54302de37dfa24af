"""What comes out: inertia, iterations and accuracy on handwritten digits.

These change only where the algorithm does, for one seed has one answer.
"""

from __future__ import annotations

import importlib
import importlib.util
import os

import numpy as np

from fastkm import ClusterClassifier
from fastkm.datasets import Digits, load_mnist
from fastkm.seeding import CHOOSERS


def _small():
    """Give the 1797 images of 8 x 8 that come with scikit-learn, a quarter to test."""
    if importlib.util.find_spec("sklearn") is None:
        raise NotImplementedError("scikit-learn is not installed")
    datasets = importlib.import_module("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    test, train = np.split(order, [len(images) // 4])
    return Digits(images[train], labels[train], images[test], labels[test])


def _mnist():
    if "FASTKM_MNIST" not in os.environ:
        raise NotImplementedError("FASTKM_MNIST is not set")
    digits = load_mnist()
    return digits._replace(
        train_images=digits.train_images.astype(np.float32),
        test_images=digits.test_images.astype(np.float32),
    )


# Images, clusters, and the ways to choose initial centers that do not take minutes.
DIGITS = {"small": (_small, 200, list(CHOOSERS)), "MNIST": (_mnist, 4000, ["random"])}


class Classifier:
    """Digits named after the majority of their cluster."""

    params = (list(DIGITS), list(CHOOSERS))
    param_names = ("digits", "init")
    timeout = 600

    def setup_cache(self):
        """Figures of every fit, for all of the tracks."""
        figures = {}
        for name, (load, n_clusters, inits) in DIGITS.items():
            try:
                digits = load()
            except NotImplementedError:
                continue
            for init in inits:
                figures[name, init] = _figures(digits, n_clusters, init)
        return figures

    setup_cache.timeout = 1200

    def setup(self, figures, digits, init):
        if (digits, init) not in figures:
            raise NotImplementedError("digits not there, or an init that takes minutes")

    def track_inertia(self, figures, digits, init):
        return figures[digits, init]["inertia"]

    def track_iterations(self, figures, digits, init):
        return figures[digits, init]["iterations"]

    def track_accuracy(self, figures, digits, init):
        return figures[digits, init]["accuracy"]

    track_inertia.pretty_name = "Inertia of digits"
    track_iterations.pretty_name = "Iterations on digits"
    track_accuracy.pretty_name = "Accuracy on digits"
    track_inertia.unit = "squared distance"
    track_iterations.unit = "iterations"
    track_accuracy.unit = "% of the test digits"


def _figures(digits, n_clusters, init):
    model = ClusterClassifier(n_clusters, init=init, n_init=1, random_state=0)
    model.fit(digits.train_images, digits.train_labels)
    accuracy = model.score(digits.test_images, digits.test_labels)
    return {
        "inertia": model.inertia_,
        "iterations": model.n_iter_,
        "accuracy": 100 * accuracy,
    }
