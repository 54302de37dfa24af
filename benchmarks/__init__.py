"""Timings: suites that asv runs by commit, and scripts for one machine and moment.

asv imports every module of this folder to find the suites; what is measured is the
fastkm that Python finds, not the one beside this folder.
"""

import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path


def _cache_folder(package: Path) -> str:
    """Folder for compiled kernels that carries a hash of them all.

    Numba's disk cache does not see a change in the file of a called function.
    """
    kernels = sorted((package / "kernels").glob("*.py"))
    key = hashlib.sha256(b"".join(path.read_bytes() for path in kernels))
    name = f"fastkm-cache-{key.hexdigest()[:16]}"
    return str(Path(tempfile.gettempdir()) / name)


_fastkm = importlib.util.find_spec("fastkm")
if _fastkm and _fastkm.origin:  # before Numba is imported, which reads it once
    os.environ.setdefault("NUMBA_CACHE_DIR", _cache_folder(Path(_fastkm.origin).parent))
