"""Exact sums: error-free, and the same bits in any order and any partition."""

import math
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastkm.exactsum import ExactSum, expansion, two_sum

# Every exponent, subnormal numbers included; 2^70 terms of 2^953 do not overflow.
wide = st.builds(math.ldexp, st.integers(-(2**53), 2**53), st.integers(-1074, 900))
near = st.builds(math.ldexp, st.integers(-(2**53), 2**53), st.integers(-120, 8))
# Small multiples of powers of two: sums that end halfway between two float64.
halves = st.builds(math.ldexp, st.integers(-3, 3), st.sampled_from([-120, -53, -52, 0]))
term = wide | near | halves


@st.composite
def cancelling(draw):
    """Terms of which some are there with the other sign as well, shuffled."""
    terms = draw(st.lists(term, min_size=1, max_size=25))
    negated = [-t for t in draw(st.lists(st.sampled_from(terms), max_size=25))]
    return draw(st.permutations(terms + negated))


term_lists = st.lists(term, min_size=1, max_size=40) | cancelling()


def single(value):
    zero = np.zeros(())
    return ExactSum(np.float64(value), zero, zero)


def total(terms):
    return reduce(add, map(single, terms))


def real(terms):
    return sum(map(Fraction, map(float, terms)), Fraction())


@given(term, term)
def test_two_sum_has_no_error(a, b):
    rounded, error = two_sum(np.float64(a), np.float64(b))
    assert rounded == a + b
    assert real([rounded, error]) == real([a, b])


def test_two_sum_of_arrays_is_elementwise():
    a, b = np.array([1.0, 1e16]), np.array([2.0**-60, 1.0])
    rounded, error = two_sum(a, b)
    assert rounded.tolist() == [1.0, 1e16]
    assert error.tolist() == [2.0**-60, 1.0]


@given(term_lists)
def test_slack_bounds_what_high_and_low_have_lost(terms):
    joined = total(terms)
    lost = abs(real(terms) - real([joined.high, joined.low]))
    assert lost <= 2 * Fraction(float(joined.slack))


@given(term_lists)
def test_a_certain_sum_is_the_real_sum_rounded_once(terms):
    value, uncertain = total(terms).rounded()
    assert uncertain or value == math.fsum(terms)


@given(term_lists)
def test_without_slack_the_sum_is_certain(terms):
    joined = total(terms)
    assert joined.slack > 0 or not joined.rounded()[1]


@given(st.data(), term_lists)
def test_order_and_partition_do_not_matter(data, terms):
    """Parts of shuffled terms, joined; an uncertain sum is settled by expansions."""
    shuffled = data.draw(st.permutations(terms))
    cut = data.draw(st.integers(0, len(terms)))
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    value, uncertain = reduce(add, map(total, parts)).rounded()
    if uncertain:
        value = math.fsum(t for part in parts for t in expansion(np.array(part)))
    assert value == math.fsum(terms)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([1.0, 2.0**-53], 1.0),  # a tie goes to the even neighbour, here down
        ([1.0 + 2.0**-52, 2.0**-53], 1.0 + 2.0**-51),  # and here up
        ([1e100, 1.0, -1e100], 1.0),
        ([0.1] * 10, 1.0),
        ([1.0, 2.0**-53, -(2.0**-1074), 2.0**-1074], 1.0),
        ([2.0**-1074] * 3, 3 * 2.0**-1074),
    ],
)
def test_sums_by_hand(terms, expected):
    value, uncertain = total(terms).rounded()
    assert math.fsum(terms if uncertain else [value]) == expected


def test_a_hair_above_halfway_is_flagged_and_settled_by_its_expansion():
    terms = np.array([1.0, 2.0**-53, 2.0**-120])
    value, uncertain = total(terms).rounded()
    assert uncertain
    assert value == 1.0  # a double-double sees the tie, and not the hair
    assert math.fsum(expansion(terms)) == 1.0 + 2.0**-52


def test_only_the_uncertain_elements_of_an_array_are_flagged():
    columns = np.array([[1.0, 1.0], [2.0**-53, 2.0**-53], [2.0**-120, 0.0]])
    zeros = np.zeros(2)
    joined = reduce(add, (ExactSum(row, zeros, zeros) for row in columns))
    value, uncertain = joined.rounded()
    assert uncertain.tolist() == [True, False]
    assert value[1] == 1.0


def test_rounded_keeps_the_shape():
    zeros = np.zeros((2, 3, 4))
    value, uncertain = ExactSum(zeros + 1, zeros, zeros).rounded()
    assert value.shape == uncertain.shape == (2, 3, 4)
    assert uncertain.dtype == bool


def test_adding_changes_neither_operand():
    left, right = (ExactSum(np.ones(2), np.zeros(2), np.zeros(2)) for _ in range(2))
    left + right
    for operand in (left, right):
        assert operand.high.tolist() == [1.0, 1.0]
        assert operand.low.tolist() == operand.slack.tolist() == [0.0, 0.0]


@given(term_lists)
def test_an_expansion_has_the_real_sum_of_its_terms(terms):
    assert real(expansion(np.array(terms))) == real(terms)


@given(term_lists)
def test_an_expansion_is_short(terms):
    # Each part takes at least 53 of the 2098 bits that a float64 can reach, so at most
    # 40 parts, and one more for carries out of the top.
    assert len(expansion(np.array(terms))) <= 41


@given(term_lists, term_lists)
def test_expansions_join(left, right):
    joined = expansion(np.array(left)) + expansion(np.array(right))
    assert math.fsum(joined) == math.fsum(left + right)


@pytest.mark.parametrize("terms", [[], [0.0], [-0.0, 0.0], [1e300, -1e300]])
def test_the_expansion_of_zero_is_empty(terms):
    assert expansion(np.array(terms)) == []
