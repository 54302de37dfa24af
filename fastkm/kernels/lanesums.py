"""Exact sums in vector lanes: terms go to WIDE sums, which are joined at the end.

Error-free, so the bits are those of a sum term by term, at a quarter of its time.
"""

from fastkm.kernels._jit import inlined
from fastkm.kernels.exact import HIGH, LOW, SLACK, add_term
from fastkm.kernels.simd_rows import TERMS, add_terms

WIDE = 4 * TERMS  # four chains of additions keep the adders busy


@inlined
def add_lanes(terms, size, lanes):
    """Add terms[0, :size] to sums in lanes (3, WIDE); zeros fill up the last vector."""
    for r in range(size, (size + WIDE - 1) // WIDE * WIDE):
        terms[0, r] = 0.0
    for start in range(0, size, WIDE):
        for chain in range(0, WIDE, TERMS):
            add_terms(terms, 0, start + chain, 1.0, lanes, chain, WIDE)


@inlined
def join_lanes(lanes, total):
    """Add the sums of all lanes to a total (3,), and clear them."""
    for lane in range(WIDE):
        add_term(total, lanes[HIGH, lane])
        add_term(total, lanes[LOW, lane])
        total[SLACK] += lanes[SLACK, lane]
        lanes[HIGH, lane] = lanes[LOW, lane] = lanes[SLACK, lane] = 0.0
