"""The specification itself, against answers worked by hand."""

import math
from collections import Counter

import numpy as np
import pytest

from fastkm import reference

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def column(*values):
    return np.array(values, dtype=float)[:, None]


class Fixed:
    """A generator whose uniform draws are given: single ones, or rows of them."""

    def __init__(self, *draws):
        self.draws = iter(draws)

    def random(self, size=None):
        drawn = next(self.draws)
        assert np.shape(drawn) == (() if size is None else (size,))
        return drawn if size is None else np.array(drawn)


# --- distances and labels


def test_distances_by_hand():
    distances = reference.squared_distances(
        np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 0.0]])
    )
    assert distances.tolist() == [[25.0, 1.0], [13.0, 1.0]]


def test_float32_distances_are_computed_in_float64():
    X, center = np.array([[0.1]], np.float32), np.array([[0.3]], np.float32)
    difference = float(X[0, 0]) - float(center[0, 0])
    assert reference.squared_distances(X, center)[0, 0] == difference * difference


def test_features_are_added_in_ascending_order():
    # 1e16 + 1 + 1 stays 1e16 when each 1 comes after it, 1 + 1 + 1e16 does not.
    falling, rising = np.array([[1e8, 1.0, 1.0]]), np.array([[1.0, 1.0, 1e8]])
    zero = np.zeros((1, 3))
    assert reference.squared_distances(falling, zero)[0, 0] == 1e16
    assert reference.squared_distances(rising, zero)[0, 0] == 1e16 + 2


def test_squares_and_sums_are_rounded_one_by_one():
    # (1 + 2^-29)^2 = 1 + 2^-28 + 2^-58 is rounded to 1 + 2^-28, and adding 2^-53 to it
    # is a tie that goes down; a fused multiply-add would keep 2^-58 and round up.
    X = np.array([[2.0**-27, 2.0**-27, 1 + 2.0**-29]])
    distance = reference.squared_distances(X, np.zeros((1, 3)))[0, 0]
    assert distance == 1 + 2.0**-28


@every_dtype
def test_ties_go_to_the_lowest_index(dtype):
    X = column(0, 5, 1).astype(dtype)
    labels, distances = reference.assign(X, column(2, -2, 2, 0, 0).astype(dtype))
    assert labels.dtype == np.int32
    assert labels.tolist() == [3, 0, 0]
    assert distances.dtype == np.float64
    assert distances.tolist() == [0.0, 9.0, 1.0]


# --- exact sums


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], 0.0),
        ([1e100, 1.0, -1e100], 1.0),
        ([0.1] * 10, 1.0),
        ([1.0, 2.0**-53], 1.0),
        ([1.0, 2.0**-53, 2.0**-1074], 1.0 + 2.0**-52),
    ],
)
def test_exact_sum_rounds_once(terms, expected):
    assert reference.exact_sum(terms) == expected


def test_exact_sum_refuses_partial_sums_that_overflow():
    with pytest.raises(OverflowError):
        reference.exact_sum([1e308, 1e308, -1e308])


def test_a_zero_sum_is_positive():
    assert math.copysign(1, reference.exact_sum([-0.0, -0.0])) == 1.0
    assert math.copysign(1, reference.exact_sum([1.0, -1.0])) == 1.0


def test_cluster_sums_are_exact():
    X = np.array([[1e100, 0.1], [1.0, 0.2], [-1e100, 0.3], [7.0, 8.0]])
    sums, weights = reference.sum_clusters(X, np.array([0, 0, 0, 2]), 3)
    assert sums.tolist() == [[1.0, 0.6], [0.0, 0.0], [7.0, 8.0]]  # 0.1 + 0.2 + 0.3
    assert weights.tolist() == [3.0, 0.0, 1.0]


def test_cluster_sums_are_weighted():
    sums, weights = reference.sum_clusters(
        column(1, 2, 4, 8), np.array([0, 0, 1, 1]), 2, np.array([0.5, 3.0, 0.0, 2.0])
    )
    assert sums.tolist() == [[6.5], [16.0]]
    assert weights.tolist() == [3.5, 2.0]


def test_a_weighted_term_is_the_rounded_product():
    X, weights = column(0.1, 0.1), np.array([3.0, 1.0])
    sums, _ = reference.sum_clusters(X, np.array([0, 0]), 1, weights)
    assert sums[0, 0] == math.fsum([3.0 * 0.1, 0.1])


def test_float32_samples_are_summed_in_float64():
    X = np.array([[2.0**24], [1.0]], np.float32)
    sums, _ = reference.sum_clusters(X, np.array([0, 0]), 1)
    assert sums.dtype == np.float64
    assert sums[0, 0] == 2.0**24 + 1


def test_step_by_hand():
    labels, sums, weights = reference.step(column(0, 1, 5, 6), column(0, 1, 9))
    assert labels.tolist() == [0, 1, 1, 2]
    assert sums.tolist() == [[0.0], [6.0], [6.0]]
    assert weights.tolist() == [1.0, 2.0, 1.0]


def test_inertia_by_hand():
    distances = np.array([1e100, 1.0, 2.0])
    assert reference.inertia(distances[1:]) == 3.0
    assert reference.inertia(distances, np.array([0.0, 0.5, 3.0])) == 6.5


# --- move


@every_dtype
def test_move_divides_and_rounds_to_the_dtype(dtype):
    centers = column(7, 8).astype(dtype)
    moved = reference.move(centers, column(1, 4), np.array([3.0, 2.0]))
    assert moved.dtype == dtype
    assert moved.tolist() == [[float(dtype(1 / 3))], [2.0]]


def test_move_leaves_the_center_of_an_empty_cluster():
    centers = column(7, 8)
    moved = reference.move(centers, column(0, 4), np.array([0.0, 2.0]))
    assert moved.tolist() == [[7.0], [2.0]]
    assert centers.tolist() == [[7.0], [8.0]]


def test_movement_by_hand():
    before, after = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 2]])
    assert reference.movement(before, after) == 26.0


def test_mean_variance_by_hand():
    # Variances 1 and 4.
    assert reference.mean_variance(np.array([[0.0, 0.0], [2.0, 4.0]])) == 2.5
    # Mean 3, so (3 x 1 + 1 x 9) / 4 = 3.
    assert reference.mean_variance(column(2, 6), np.array([3.0, 1.0])) == 3.0
    assert reference.mean_variance(column(5, 5, 5)) == 0.0


def test_mean_variance_keeps_the_mean_in_float64():
    X = np.array([[2.0**24], [2.0**24 + 2]], np.float32)  # mean 2^24 + 1: no float32
    assert reference.mean_variance(X) == 1.0


# --- refill

REFILLS = {
    "farthest first, clusters ascending": ([0, 1, 2, 10], 3, None, [0, 0, 2, 1]),
    "lowest index of equals": ([-1, 1], 2, None, [1, 0]),
    "copies go along": ([0, 10, 1, 10], 2, None, [0, 1, 0, 1]),
    "one distinct sample stays": ([5, 5, 5], 2, None, [0, 0, 0]),
    "too few distinct samples": ([3, 3, 4], 4, None, [0, 0, 1]),
    "weight zero is not taken": ([0, 1, 10], 2, [1, 1, 0], [0, 1, 0]),
    "weight zero is no company": ([3, 10], 2, [0, 1], [0, 0]),
    "a copy of weight zero goes along": ([0, 10, 10], 2, [1, 0, 1], [0, 1, 1]),
    "weight does not rank": ([0, 1, 2], 2, [1, 99, 1], [0, 0, 1]),
    "nothing is empty": ([0, 9], 1, None, [0, 0]),
}


@pytest.mark.parametrize("case", REFILLS)
def test_refill_from_one_cluster_at_zero(case):
    values, n_clusters, weights, expected = REFILLS[case]
    X = column(*values)
    labels = np.zeros(len(X), np.int32)
    refilled = reference.refill(
        X,
        labels,
        (X * X)[:, 0],
        n_clusters,
        None if weights is None else np.array(weights, float),
    )
    assert refilled.tolist() == expected
    assert not labels.any()  # the argument is left alone


def test_refill_passes_over_a_cluster_of_copies():
    """The farthest sample is alone with its copy; the next one moves."""
    labels = reference.refill(
        column(0, 2, 50, 50), np.array([0, 0, 1, 1]), np.array([0.0, 4.0, 99, 99]), 3
    )
    assert labels.tolist() == [0, 2, 1, 1]


def test_refill_counts_a_cluster_of_weightless_samples_as_empty():
    labels = reference.refill(
        column(0, 2, 50),
        np.array([0, 0, 1]),
        np.array([0.0, 4.0, 0.0]),
        2,
        np.array([1.0, 1.0, 0.0]),
    )
    assert labels.tolist() == [0, 1, 1]


def test_refill_leaves_frozen_clusters_empty():
    labels = reference.refill(
        column(0, 2, 50),
        np.array([0, 0, 0]),
        np.array([0.0, 4.0, 2500.0]),
        3,
        frozen=np.array([False, True, False]),
    )
    assert labels.tolist() == [0, 0, 2]


# --- the nearest centers


def test_nearest_centers_by_hand():
    labels, distances = reference.nearest_centers(
        column(2, 9), column(0, 4, 5, 10, 4), 3
    )
    assert labels.tolist() == [[0, 1, 4], [3, 2, 1]]
    assert distances.tolist() == [[4, 4, 4], [1, 16, 25]]
    assert labels.dtype == np.int32


# --- whole runs


def test_a_frozen_center_stays_and_keeps_its_samples():
    """From 0 and 1, 0 frozen: 1 takes {1 5 6}, then {5 6}; 1 goes back to 0."""
    frozen = np.array([True, False])
    result = reference.kmeans(TOY, column(0, 1), frozen=frozen, tol=0)
    assert result.centers.tolist() == [[0.0], [5.5]]
    assert result.labels.tolist() == [0, 0, 1, 1]
    assert result.inertia == 1.5


# Iteration by iteration, from 0 and 1:
#   {0} {1 5 6}  ->  0, 4        moved 9
#   {0 1} {5 6}  ->  1/2, 11/2   moved 1/4 + 9/4
#   the same     ->  unchanged   inertia 4 x 1/4
# The mean variance is (9 + 4 + 4 + 9) / 4 = 6.5 about the mean 3.
TOY = column(0, 1, 5, 6)


@every_dtype
@pytest.mark.parametrize(
    ("options", "n_iter", "stop", "centers", "inertia"),
    [
        ({"tol": 0.0}, 3, "unchanged", [0.5, 5.5], 1.0),
        ({"tol": 0.38}, 3, "unchanged", [0.5, 5.5], 1.0),  # 2.47 < 2.5
        ({"tol": 0.39}, 2, "tol", [0.5, 5.5], 1.0),  # 2.535 > 2.5
        ({"tol": 2.0}, 1, "tol", [0.0, 4.0], 6.0),  # 13 > 9
        ({"tol": 0.0, "max_iter": 1}, 1, "max_iter", [0.0, 4.0], 6.0),
        ({"tol": 0.0, "max_iter": 2}, 2, "max_iter", [0.5, 5.5], 1.0),
        ({"tol": 0.0, "max_iter": 3}, 3, "unchanged", [0.5, 5.5], 1.0),
    ],
)
def test_a_run_by_hand(dtype, options, n_iter, stop, centers, inertia):
    X = TOY.astype(dtype)
    result = reference.kmeans(X, X[:2], **options)
    assert result.n_iter == n_iter
    assert result.stop == stop
    assert result.centers.dtype == dtype
    assert result.centers[:, 0].tolist() == centers
    assert result.labels.tolist() == [0, 0, 1, 1]
    assert result.inertia == inertia


def test_movement_of_exactly_the_tolerance_stops():
    # Variance 1; the center goes from 3 to 1, a movement of 4.
    X, center = column(0, 2), column(3)
    assert reference.kmeans(X, center, tol=4.0)[3:] == (1, "tol")
    below = math.nextafter(4.0, 0.0)
    assert reference.kmeans(X, center, tol=below)[3:] == (2, "unchanged")


def test_unchanged_comes_before_tol():
    result = reference.kmeans(TOY, column(0.5, 5.5), tol=1.0)
    assert (result.n_iter, result.stop) == (1, "unchanged")


def test_one_unchanged_coordinate_does_not_stop_a_run():
    """The notebook's loop stopped here: the second feature never moves."""
    X = np.column_stack([TOY, np.zeros(4)])
    result = reference.kmeans(X, X[:2], tol=0.0)
    assert (result.n_iter, result.inertia) == (3, 1.0)


def test_a_weighted_run_by_hand():
    # {0} {1 5}, weights 1, 3, 1: centers 0, 2; then {0 1} {5}: 3/4, 5.
    result = reference.kmeans(
        column(0, 1, 5), column(0, 1), np.array([1.0, 3.0, 1.0]), tol=0.0
    )
    assert result.centers[:, 0].tolist() == [0.75, 5.0]
    assert result.inertia == 0.5625 + 3 * 0.0625


def test_an_empty_cluster_takes_the_farthest_sample_in_a_run():
    # All but 20 go to center 0, and 20 leaves it for the empty cluster.
    result = reference.kmeans(column(0, 2, 4, 20), column(0, 99), tol=0.0)
    assert result.centers[:, 0].tolist() == [2.0, 20.0]
    assert result.labels.tolist() == [0, 0, 0, 1]


def test_no_cluster_that_the_last_move_emptied_stays_empty():
    # Labels 2 0 2 0 1 move the centers to (4, 2.5), (0, 5), (4.5, 5), and nothing is
    # nearest to the first any more: it takes (0, 1), at distance 16 the farthest.
    X = np.array([[2.0, 4.0], [8.0, 4.0], [7.0, 6.0], [0.0, 1.0], [0.0, 5.0]])
    result = reference.kmeans(
        X, np.array([[6.0, 4.0], [3.0, 8.0], [5.0, 6.0]]), max_iter=1
    )
    assert result.centers.tolist() == [[0.0, 1.0], [1.0, 4.5], [7.5, 5.0]]
    assert result.labels.tolist() == [1, 2, 2, 0, 1]
    assert result.inertia == 5.0
    assert (result.n_iter, result.stop) == (1, "max_iter")


def test_fewer_distinct_samples_than_clusters_leave_centers_in_place():
    result = reference.kmeans(column(3, 3, 4), column(3, 3, 4, 9))
    assert result.labels.tolist() == [0, 0, 2]
    assert result.centers[:, 0].tolist() == [3.0, 3.0, 4.0, 9.0]
    assert result.inertia == 0.0


def test_a_run_leaves_its_arguments_alone():
    X, centers, weights = TOY.copy(), column(0, 1), np.array([1.0, 2.0, 3.0, 4.0])
    reference.kmeans(X, centers, weights)
    assert X.tolist() == TOY.tolist()
    assert centers.tolist() == [[0.0], [1.0]]
    assert weights.tolist() == [1.0, 2.0, 3.0, 4.0]


# --- draws


@pytest.mark.parametrize(
    ("threshold", "index"),
    [
        (0.0, 1),  # a term of zero is never drawn
        (0.999, 1),
        (1.0, 3),  # a threshold on the boundary goes to the next positive term
        (2.999, 3),
        (3.0, 4),
        (6.999, 4),
        (7.0, 4),  # rounding can bring the threshold up to the sum: the last positive
        (8.0, 4),
    ],
)
def test_draw_takes_the_first_prefix_sum_above_the_threshold(threshold, index):
    assert reference.draw(np.array([0.0, 1.0, 0.0, 2.0, 4.0, 0.0]), threshold) == index


def test_draw_compares_exact_prefix_sums():
    # Ten times 0.1 is 1 + 10 x 2^-57.7: above 1, though 0.1 + ... rounds to below it.
    assert sum([0.1] * 10) < 1.0
    assert reference.draw(np.array([0.1] * 11), 1.0) == 9
    # 1 + 2^-60 is above 1, which no rounded prefix sum shows.
    assert reference.draw(np.array([1.0, 2.0**-60, 1.0]), 1.0) == 1


@pytest.mark.parametrize(
    ("uniform", "index"), [(0.0, 0), (0.249, 0), (0.25, 2), (0.999, 2)]
)
def test_first_sample_is_drawn_by_weight(uniform, index):
    weights = np.array([1.0, 0.0, 3.0])
    assert reference.first_sample(Fixed(uniform), weights) == index


# --- k-means++

# From the samples 0, 1, 3; a draw takes the first sample with probability 1/3 each, and
# the second in proportion to these squared distances to the first:
SQUARED = {0: {1: 1, 2: 9}, 1: {0: 1, 2: 4}, 2: {0: 9, 1: 4}}

PLAIN = {
    (first, second): distance / sum(row.values()) / 3
    for first, row in SQUARED.items()
    for second, distance in row.items()
}
# Of two candidates the one is kept that leaves less: after 0, sample 3 leaves 1 and
# sample 1 leaves 4, so 1 is kept only if drawn twice (0.1^2); after 1, sample 3 leaves
# 1 and sample 0 leaves 4 (0.2^2); after 3, both leave 1: the first drawn is kept.
GREEDY = {
    (0, 1): 0.01 / 3,
    (0, 2): 0.99 / 3,
    (1, 0): 0.04 / 3,
    (1, 2): 0.96 / 3,
    (2, 0): 9 / 39,
    (2, 1): 4 / 39,
}
# Weights 1, 2, 1: the first by weight (1/4, 1/2, 1/4), the second by weight x distance.
WEIGHTED = {
    (0, 1): 2 / 11 / 4,
    (0, 2): 9 / 11 / 4,
    (1, 0): 1 / 5 / 2,
    (1, 2): 4 / 5 / 2,
    (2, 0): 9 / 17 / 4,
    (2, 1): 8 / 17 / 4,
}


@pytest.mark.parametrize(
    ("expected", "weights", "n_local_trials"),
    [
        (PLAIN, None, 1),
        (GREEDY, None, 2),
        (GREEDY, None, None),  # 2 + floor(log 2) = 2
        (WEIGHTED, np.array([1.0, 2.0, 1.0]), 1),
    ],
    ids=["plain", "greedy", "greedy by default", "weighted"],
)
def test_kmeans_plusplus_has_the_distribution_worked_by_hand(
    expected, weights, n_local_trials, rng
):
    n_draws, X = 3000, column(0, 1, 3)
    counts = Counter(
        tuple(
            reference.kmeans_plusplus(
                X, 2, rng, weights, n_local_trials=n_local_trials
            ).tolist()
        )
        for _ in range(n_draws)
    )
    assert set(counts) <= set(expected)
    chi_square = sum(
        (counts[pair] - n_draws * p) ** 2 / (n_draws * p)
        for pair, p in expected.items()
    )
    # Six outcomes, five degrees of freedom: above 35.9 with probability 1e-6, while one
    # probability of 1/3 in place of 1/4 would give n_draws / 36 = 83 from it alone.
    assert chi_square < 35.9


def test_kmeans_plusplus_by_given_draws():
    # First 0.4 x 3 = 1.2: sample 1. Distances 1, 0, 4, sum 5: the draws 0.1 and 0.3 are
    # below and above 1 / 5, candidates 0 (leaves 4) and 2 (leaves 1).
    rng = Fixed(0.4, [0.1, 0.3])
    assert reference.kmeans_plusplus(column(0, 1, 3), 2, rng).tolist() == [1, 2]


def test_greedy_keeps_the_first_of_equals():
    # After sample 3, both others leave 1.
    for draws, second in [([0.1, 0.9], 0), ([0.9, 0.1], 1)]:
        chosen = reference.kmeans_plusplus(column(0, 1, 3), 2, Fixed(0.9, draws))
        assert chosen.tolist() == [2, second]


def test_kmeans_plusplus_without_distance_left_takes_the_lowest_indices(rng):
    chosen = reference.kmeans_plusplus(column(2, 2, 2, 2), 3, rng).tolist()
    assert len(set(chosen)) == 3
    assert chosen[1:] == sorted(set(range(4)) - {chosen[0]})[:2]


def test_kmeans_plusplus_chooses_every_distinct_sample_before_copies(rng):
    X = column(0, 0, 0, 7, 7, 1)
    chosen = reference.kmeans_plusplus(X, 4, rng)
    assert sorted(X[chosen[:3], 0]) == [0.0, 1.0, 7.0]
    assert len(set(chosen.tolist())) == 4


def test_kmeans_plusplus_of_one_cluster_draws_one_sample(rng):
    assert reference.kmeans_plusplus(TOY, 1, rng).shape == (1,)


# --- farthest first


def test_farthest_first_by_hand():
    # From -3, the least: 10 is farthest; then 5 (25), then 1 (16), then 0 (1).
    X = column(0, 1, 5, 10, -3)
    chosen = reference.farthest_first(X, 5, Fixed(0.0))
    assert chosen.tolist() == [4, 3, 2, 1, 0]


def test_farthest_first_takes_the_lowest_index_of_equals():
    X = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])  # the third sorts second
    assert reference.farthest_first(X, 2, Fixed(0.0)).tolist() == [0, 2]


def test_farthest_first_leaves_weight_zero_for_last():
    X, weights = column(0, 1, 5, 10), np.array([1.0, 1.0, 1.0, 0.0])
    chosen = reference.farthest_first(X, 4, Fixed(0.0), weights)
    assert chosen.tolist() == [0, 2, 1, 3]


def test_farthest_first_never_takes_a_sample_twice():
    chosen = reference.farthest_first(column(3, 3, 3), 3, Fixed(0.5))
    assert chosen.tolist() == [1, 0, 2]


# --- random samples


@pytest.mark.parametrize(
    "weights", [None, np.ones(9), np.arange(1.0, 10)], ids=["none", "equal", "unequal"]
)
@pytest.mark.parametrize("n_clusters", [1, 5, 9])
def test_random_samples_are_different(weights, n_clusters, rng):
    chosen = reference.random_samples(np.zeros((9, 1)), n_clusters, rng, weights)
    assert chosen.shape == (n_clusters,)
    assert len(set(chosen.tolist())) == n_clusters
    assert set(chosen.tolist()) <= set(range(9))


def test_random_samples_leave_weight_zero_for_last(rng):
    weights = np.array([0.0, 1.0, 0.0, 5.0, 1e-9])
    chosen = reference.random_samples(np.zeros((5, 1)), 5, rng, weights).tolist()
    assert set(chosen[:3]) == {1, 3, 4}
    assert chosen[3:] == [0, 2]


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_random_samples_are_drawn_in_proportion_to_weight(weights, rng):
    n_draws = 3000
    counts = Counter(
        int(
            reference.random_samples(
                np.zeros((3, 1)), 2, rng, None if weights is None else np.array(weights)
            )[0]
        )
        for _ in range(n_draws)
    )
    w = np.array(weights or [1.0, 1.0, 1.0])
    expected = n_draws * w / w.sum()
    chi_square = sum((counts[i] - expected[i]) ** 2 / expected[i] for i in range(3))
    # Two degrees of freedom: above 27.6 with probability 1e-6.
    assert chi_square < 27.6


# --- k-means||


def test_parallel_seeding_by_hand():
    # First 10 (index 2): distances 100, 81, 0, 1 and 4 times these against half their
    # sum, 91: 0 and 1 are taken. Then 0, 0, 0, 1: so is 11, and nothing is left. Among
    # all in their order, of weight 1 each, k-means++ draws 10, then 0 by 100 > 91.
    draws = 0.5, [0.5] * 4, [0.5] * 4, 0.5, [0.5, 0.5]
    chosen = reference.kmeans_parallel(column(0, 1, 10, 11), 2, Fixed(*draws))
    assert chosen.tolist() == [2, 0]


def test_parallel_seeding_weighs_candidates_by_what_is_near_them():
    X = column(0, 0, 0, 9)
    draws = 0.9, [0.99, 0.5, 0.99, 0.5], 0.5, [0.5, 0.5]
    chosen = reference.kmeans_parallel(X, 2, Fixed(*draws))
    # 9 first; then all at distance 81, for 0.99 * 243 < 4 * 81. Of indices 3, 0, 1, 2
    # the masses are 1, 3, 0, 0: 0 reaches half of them, and 9 alone is left to draw.
    assert chosen.tolist() == [0, 3]


# --- swaps


def test_swap_by_hand():
    # From 0 and 1: distances 0, 0, 81, 100, of 181; 0.9 of it is 11. In the place of 0
    # it leaves 1 + 1, in the place of 1 as much: the first goes. Then 0 and 10 are at
    # distance 1; 0.4 of 2 is 0, in the place of 1 (1 + 1) or of 11 (81 + 101): no gain.
    X = column(0, 1, 10, 11)
    assert reference.swap_costs(X, X[:2], 3).tolist() == [2, 2]
    assert reference.swap_costs(X, X[[3, 1]], 0).tolist() == [181, 2]
    swapped = reference.swap(X, X[:2], Fixed(0.9, 0.4), n_swaps=2)
    assert swapped.ravel().tolist() == [11, 1]


def test_swap_ends_at_inertia_zero():
    X = column(0, 9)
    assert reference.swap(X, X, Fixed(), n_swaps=5).tolist() == X.tolist()
