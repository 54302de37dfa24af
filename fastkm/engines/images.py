"""Which images of samples a sketch keeps (`engines.integers`): what costs least.

All features; those that vary most, and the norm of the rest; or coordinates in a basis
and the norm of theirs, which rule out more, but have to be computed. A pilot finds how
many candidates each would leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastkm.engines.base import Array
from fastkm.engines.basis import Basis, make_basis
from fastkm.engines.products import product

FEW_FEATURES = 8  # up to which all are kept
LEADS = (4, 8, 16, 32, 64)  # coordinates of a basis
FEATURES = (128, 192, 256, 320, 384, 512, 768, 1024)  # leading ones, kept as they are
WIDE, MANY_PAIRS = 192, 1000  # numbers of a closer look, and pairs that repay it
SOME_ROWS, PILOT_ROWS, PILOT_CANDIDATES, MOST_CHOSEN = 1024, 256, 16, 256

# Costs in columns of a pair that the sieve takes (0.01 ns with two threads of a
# Zen 3): a column of what is fetched by itself, of a projection, of packing.
PER_EXACT, PER_PROJECTED, PER_PACKED = 20.0, 4.0, 75.0
PILOT, PER_FEATURE = 5e8, 4.5e6  # to find out what costs least: 5 ms and more


class Choice(NamedTuple):
    """What a sketch consists of: n_lead numbers, and the norm of the rest, if any.

    Coordinates in a basis, which has more of them where a closer look pays; without
    one, features, in an order (n_features,).
    """

    n_lead: int
    order: Array
    basis: Basis | None = None


def choose_images(
    X: Array,
    shift: Array,
    n_samples: int,
    n_clusters: int,
    n_trials: int,
    itemsize: int,
) -> Choice:
    """Give what costs least on some samples.

    Few features are all kept, in their order, and those of few samples. Many of less
    than 4 bytes are not kept: that would be a wide copy.
    """
    n_features = len(shift)
    everything = Choice(n_features, np.arange(n_features))
    if n_features <= FEW_FEATURES or len(X) < SOME_ROWS:
        return everything
    n_pairs = n_clusters * n_trials  # for each sample
    at_most = n_samples * n_features * (n_pairs + PER_PACKED)
    if itemsize >= 4 and at_most < PILOT + PER_FEATURE * n_features:
        return everything
    is_wide = n_features >= 2 * WIDE and n_pairs >= MANY_PAIRS
    centered: Array = X - shift
    basis = make_basis(centered, WIDE - 1 if is_wide else min(LEADS[-1], n_features))
    # As many are chosen as when the average number of samples improves.
    n_chosen = min(MOST_CHOSEN, 1 + int(n_clusters / (1 + math.log(n_clusters))))
    rows = centered[:PILOT_ROWS]
    some = centered[PILOT_ROWS:][: n_chosen + PILOT_CANDIDATES]
    found: list[tuple[float, Choice]] = []

    def consider(choice: Choice, distances: Array, n_packed: int) -> None:
        passed = float((distances[:, n_chosen:] < limits).mean())
        cost = n_packed * (1 + PER_PACKED / n_pairs)
        n_computed = n_features
        if choice.basis is not None:
            cost += n_features * choice.n_lead * PER_PROJECTED / n_pairs
            n_computed = WIDE if is_wide else n_features
        found.append((cost + passed * n_computed * PER_EXACT, choice))

    with np.errstate(all="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows), np.einsum("ij,ij->i", some, some)
        distances = np.add.outer(*squares) - 2 * product(rows, some.T)
        limits = distances[:, :n_chosen].min(axis=1, keepdims=True)
        order = np.argsort(-np.einsum("ij,ij->j", centered, centered), kind="stable")
        if itemsize >= 4:
            consider(everything, distances, n_features)
            images = rows[:, order], some[:, order]
            for lead, least in least_distances(images, squares, FEATURES, n_features):
                consider(Choice(lead, order), least, lead + 1)
        # Not by `project`: most shapes never need that kernel, 1 s to compile.
        directions = basis.directions()
        images = product(rows, directions), product(some, directions)
        for lead, least in least_distances(images, squares, LEADS, n_features):
            # Its leading directions are a basis as well, with smaller errors.
            own = basis if is_wide else basis._replace(n_coordinates=lead)
            consider(Choice(lead, order, own), least, lead + 1)
    return min(found, key=lambda pair: pair[0])[1]


def least_distances(
    images: tuple[Array, Array],
    squares: tuple[Array, Array],
    leads: tuple[int, ...],
    n_features: int,
) -> Iterator[tuple[int, Array]]:
    """Squared distances, at least: by so many leading numbers, and norms of the rest.

    Where these are at most three quarters of the features: more would save little.
    """
    insides = [np.square(image).cumsum(axis=1) for image in images]
    for lead in leads:
        if lead <= n_features * 3 // 4:
            rests = (
                np.sqrt(np.maximum(square - inside[:, lead - 1], 0.0))
                for square, inside in zip(squares, insides, strict=True)
            )
            inner = product(images[0][:, :lead], images[1][:, :lead].T)
            yield lead, np.add.outer(*squares) - 2 * (inner + np.outer(*rests))
