"""A slice of the fuzz run; `python tests/fuzz.py` goes on for minutes."""

import fuzz
import pytest

# Seeds that have failed once, and what was wrong then.
FOUND: dict[int, str] = {}


def test_random_inputs():
    assert fuzz.run(first=10**6, n_inputs=100, seconds=300)["inputs"] == 100


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found(seed):
    fuzz.check(seed)


@pytest.mark.slow
def test_many_random_inputs():
    assert fuzz.run(first=2 * 10**6, n_inputs=10**9, seconds=180)["inputs"] > 100
