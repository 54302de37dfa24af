"""A slice of the fuzz run; `python tests/fuzz.py` goes on for minutes."""

import fuzz
import pytest


def test_random_inputs():
    assert fuzz.run(first=10**6, n_inputs=40, seconds=300)["inputs"] == 40


@pytest.mark.slow
def test_many_random_inputs():
    assert fuzz.run(first=2 * 10**6, n_inputs=10**9, seconds=180)["inputs"] > 100
