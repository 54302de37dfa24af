"""Handwritten digits classified by the majority class of their nearest cluster."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from fastkm import ClusterClassifier, Report, plotting
from fastkm.datasets import Digits
from fastkm.tour.pictures import Album, Picture, new_figure
from fastkm.validation import check_random_state

Array = NDArray[Any]

MOST_COLUMNS = 12


class Task(NamedTuple):
    """Which digits, and the parameters of the classifier."""

    name: str
    digits: Digits
    parameters: dict[str, Any]
    is_mnist: bool


class Classified(NamedTuple):
    """The classifier's figures and pictures."""

    task: Task
    train_accuracy: float
    test_accuracy: float
    fit_seconds: float
    test_seconds: float
    n_iter: int
    report: Report
    centers: Picture
    confusion: Picture


def small_task(seed: int) -> Task:
    """Give the 1797 images of 8 x 8 that come with scikit-learn, a quarter to test."""
    images, labels = load_digits(return_X_y=True)
    order = check_random_state(seed).permutation(len(images))
    test, train = np.split(order, [len(images) // 4])
    return Task(
        "scikit-learn's digits",
        Digits(images[train], labels[train], images[test], labels[test]),
        {"n_clusters": 200, "random_state": seed},
        is_mnist=False,
    )


def mnist_task(digits: Digits, seed: int) -> Task:
    """Give MNIST with the notebook's parameters, in single precision."""
    return Task(
        "MNIST",
        Digits(
            digits.train_images.astype(np.float32),
            digits.train_labels,
            digits.test_images.astype(np.float32),
            digits.test_labels,
        ),
        {
            "n_clusters": 4000,
            "init": "random",
            "n_init": 1,
            "max_iter": 300,
            "random_state": seed,
        },
        is_mnist=True,
    )


def classify(task: Task, album: Album) -> Classified:
    """Fit the classifier, count its hits, and draw its centers and its errors."""
    train, train_labels, test, test_labels = task.digits
    start = time.perf_counter()
    model = ClusterClassifier(**task.parameters).fit(train, train_labels)
    fitted = time.perf_counter()
    predicted = model.predict(test)
    tested = time.perf_counter()
    return Classified(
        task,
        train_accuracy=model.score(train, train_labels),
        test_accuracy=float(np.mean(predicted == test_labels)),
        fit_seconds=fitted - start,
        test_seconds=tested - fitted,
        n_iter=model.n_iter_,
        report=model.report_,
        centers=_draw_centers(model, album),
        confusion=_draw_confusion(test_labels, predicted, album),
    )


def _draw_centers(model: ClusterClassifier, album: Album) -> Picture:
    """Draw the centers of the largest clusters of each class, a row for each."""
    classes = model.cluster_probabilities_.argmax(axis=1)
    sizes = np.bincount(model.labels_, minlength=len(classes))
    by_size = np.argsort(-sizes, kind="stable")
    rows = [by_size[classes[by_size] == c] for c in np.unique(classes)]
    n_columns = min(MOST_COLUMNS, *map(len, rows))
    chosen = [row[:n_columns] for row in rows]
    centers = model.cluster_centers_[np.concatenate(chosen)]
    figure = new_figure(5.4, 5)
    plotting.plot_centers(
        centers, columns=n_columns, max_centers=len(centers), ax=figure.subplots()
    )
    return album.add("digit-centers", figure, "Centers of clusters of each digit")


def _draw_confusion(labels: Array, predicted: Array, album: Album) -> Picture:
    classes = np.union1d(labels, predicted)
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    cells = np.searchsorted(classes, labels), np.searchsorted(classes, predicted)
    np.add.at(matrix, cells, 1)
    figure = new_figure(5.5, 5)
    plotting.plot_confusion(matrix, classes, ax=figure.subplots())
    return album.add(
        "digit-confusion", figure, "Test digits against what they were read as"
    )
