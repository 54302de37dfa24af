"""Numba's disk cache, made safe to share, to damage and to lose.

What Numba's own lacks: it knows a kernel by its own file only and misses a change in
what the kernel calls; two processes that compile at once may swap entries (issue 4807);
a damaged entry, a full disk or a folder that has become read-only end the program.

Here every compiled kernel has a file of its own, named after its signature and CPU,
that begins with a digest of all kernels' sources and one of the content. An entry that
is not whole is compiled anew; where nothing can be written, every process compiles. Of
each the user hears once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, NullCache
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

__all__ = ["KernelCache"]

DIGEST = 32  # bytes


class KernelCache(NullCache):
    """What a kernel's dispatcher asks for compiled code, and gives it to.

    Numba's cache finds the folder (`NUMBA_CACHE_DIR`, or beside the sources, or the
    user's) and turns code to bytes and back; it is made when it is first needed.
    """

    def __init__(self, function: Any) -> None:
        self.function = function

    @functools.cached_property
    def numbas(self) -> FunctionCache | None:
        """Numba's cache of the kernel, None where there is no folder for it."""
        try:
            return FunctionCache(self.function)
        except RuntimeError:  # its way to say so
            return None

    @property
    def cache_path(self) -> str | None:
        """Folder of the entries."""
        return None if self.numbas is None else self.numbas.cache_path

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Give the compiled kernel, None where there is no whole and fresh entry.

        Numba's own begins with `target_context.refresh()`, which imports all that it
        can compile (SciPy included): 0.4 s that only a compilation needs.
        """
        if self.numbas is None:
            return None
        try:
            content = self._path(sig, target_context.codegen()).read_bytes()
        except OSError:  # not there, usually
            return None
        if content[:DIGEST] != sources():
            return None
        payload = content[2 * DIGEST :]
        try:
            if content[DIGEST : 2 * DIGEST] != _digest(payload):
                raise ValueError("its checksum differs")
            rtsys.initialize(target_context)  # allocation within kernels
            return self.numbas._impl.rebuild(target_context, pickle.loads(payload))
        except Exception as error:  # of whatever kind: it can be compiled anew
            _say(
                "damaged",
                f"an entry of the cache of compiled code is damaged ({error}); it is "
                "compiled anew",
            )
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the compiled kernel; it appears under its name when it is whole."""
        reason = "there is no folder that can be written"
        if self.numbas is not None:
            if not self.numbas._impl.check_cachable(data):  # Numba warns why
                return
            try:
                path = self._path(sig, data.codegen)
                _write(path, dumps(self.numbas._impl.reduce(data)))
                return
            except OSError as error:
                reason = str(error)
        _say(
            "unwritable",
            f"compiled code cannot be kept ({reason}): every process will compile for "
            "seconds. Set NUMBA_CACHE_DIR to a folder that can be written",
        )

    def _path(self, sig: Any, codegen: Any) -> Path:
        """One file for each signature and CPU, so that processes never mix them up."""
        assert self.numbas is not None
        key = repr((numba.__version__, self.numbas._index_key(sig, codegen)))
        name = f"{self.numbas._impl.filename_base}.{_digest(key.encode()).hex()[:20]}"
        return Path(self.numbas.cache_path) / f"{name}.fastkm"


def _write(path: Path, payload: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.write(sources() + _digest(payload) + payload)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


@functools.cache
def sources() -> bytes:
    """Digest of all kernels: they are compiled into each other."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return _digest(b"\0".join(file.read_bytes() for file in files))


@functools.cache
def _say(_kind: str, message: str) -> None:
    """Warn once in a process."""
    warnings.warn(f"fastkm: {message}.", RuntimeWarning, stacklevel=2)
