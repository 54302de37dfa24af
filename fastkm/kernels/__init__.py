"""Every jitted function of fastkm, and only those: arrays in, arrays out.

Kernels take C-contiguous, read-only samples, finite values and arguments that were
validated; they check nothing and raise nothing. Their loops run over *chunks*: equal
shares of the samples, one per thread, so that each chunk writes to places of its own.
"""

from fastkm.kernels._cpus import control_groups
from fastkm.kernels._threads import default_threads, in_chunks, most_threads

__all__ = ["control_groups", "default_threads", "in_chunks", "most_threads"]
