"""Fixtures, hypothesis profiles, and the cache folder that knows the sources."""

import hashlib
import os
import tempfile
from pathlib import Path

# Numba's disk cache does not see a change in the file of a called function, so the
# folder's name carries a hash of all kernels. Set before the first import of Numba.
KERNELS = Path(__file__).parent.parent / "fastkm" / "kernels"
_sources = b"".join(path.read_bytes() for path in sorted(KERNELS.glob("*.py")))
_key = hashlib.sha256(_sources).hexdigest()[:16]
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"fastkm-cache-{_key}")
)
# More threads than cores, so that splits into 3 and 8 chunks are tested everywhere.
os.environ.setdefault("NUMBA_NUM_THREADS", "8")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fastkm",
    deadline=None,  # the first example of a shape compiles
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fastkm")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_260_101)
