"""The tile kernel against its limit: python benchmarks/tiles.py [-o FOLDER].

1. Share of the multiply-add peak (measured in the same run) over n_features and
   n_clusters, for float32 and float64 scores, packing and certification included.
2. The power of the error bound: samples that float32 and then float64 scores leave
   undecided, per case of `data.py` and for data made to defeat it.

Writes tiles.md and tiles.png. The suites of asv track the same figures.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import data, limits
from benchmarks.data import N_THREADS
from fastkm.engines import Lanes, Tiles
from fastkm.engines.base import NO_CHANGES, NONE
from fastkm.engines.lanes import block_rows
from fastkm.engines.tiles import NO_KEYS, NO_ROOM, UNDECIDED, score_margin
from fastkm.kernels import tiles

FEATURES = (4, 8, 16, 32, 64, 128, 512, 2048)
CLUSTERS = (8, 32, 128, 1024, 8192)
DTYPES = {"float32": np.float32, "float64": np.float64}
WORK = 6e9  # multiply-adds of one run
MOST_PAIRS = 3e10  # samples x features x clusters: exact distances take seconds


def _flops(n_features: int, n_clusters: int, dtype: str) -> float:
    """Floating-point operations per second of labelling normal samples by scores."""
    n_samples = int(np.clip(WORK / (n_features * n_clusters), 4096, 5e7 / n_features))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features), dtype=dtype)
    centers = rng.normal(size=(n_clusters, n_features))
    engine = Tiles(X, None, N_THREADS)
    labels = np.empty(n_samples, np.int32)
    queue = np.empty(n_samples, np.int64)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        packed, norms, reach = engine._pack_scores(centers, DTYPES[dtype])
        margin = score_margin(DTYPES[dtype], n_features, reach)
        tiles.label_by_scores(
            N_THREADS, engine.X, queue, NONE, engine.shift, packed, norms, margin,
            block_rows(n_features, packed.nbytes), labels, NO_KEYS, NO_ROOM, NO_CHANGES,
        )  # fmt: skip
        best = min(best, time.perf_counter() - start)
    return 2.0 * X.size * n_clusters / best


def _hard_cases() -> dict[str, Any]:
    """Makers of samples and centers that defeat the float32 bound, or every bound."""

    @functools.cache
    def normal() -> tuple[Any, Any]:
        X = np.random.default_rng(0).standard_normal((50_000, 64), dtype=np.float32)
        return X, X[:1000]

    def far() -> tuple[Any, Any]:
        X, centers = normal()
        return X + np.float32(1e6), centers + np.float32(1e6)

    def twice() -> tuple[Any, Any]:
        X, centers = normal()
        return X, np.repeat(centers[:500], 2, axis=0)

    def equal_samples() -> tuple[Any, Any]:
        X, centers = normal()
        return np.ones_like(X), centers

    def equal_centers() -> tuple[Any, Any]:
        X, centers = normal()
        return X, np.repeat(centers[:1], len(centers), axis=0)

    def outlier() -> tuple[Any, Any]:
        X, centers = normal()
        return X, np.concatenate([centers[:-1], centers[:1] + np.float32(1e12)])

    return {
        "normal, offset 1e6": far,
        "1000 centers, each twice": twice,
        "all samples equal": equal_samples,
        "all centers equal": equal_centers,
        "one center 1e12 away": outlier,
    }


HARD_CASES = _hard_cases()
PROBLEMS = [*HARD_CASES, *data.CASES]


@functools.lru_cache(maxsize=1)
def _problem(name: str) -> tuple[Any, Any]:
    """Samples and centers (float64) of a hard case or a case of `data.py`."""
    X, centers = HARD_CASES[name]() if name in HARD_CASES else data.work(name)[:2]
    return X, centers.astype(np.float64)


def _undecided(X: Any, centers: Any) -> dict[str, float]:
    """Share of the samples that scores of each dtype leave undecided."""
    engine = Tiles(X, None, N_THREADS)
    engine.find(centers, np.empty(len(X), np.int32), keep=False)
    return {name: engine.counts[UNDECIDED[d]] / len(X) for name, d in DTYPES.items()}


def _ratio_to_exact(X: Any, centers: Any) -> float:
    """Seconds of the tiles, over those of exact distances alone."""
    seconds = []
    for engine in (Tiles(X, None, N_THREADS), Lanes(X, None, N_THREADS)):
        labels = np.empty(len(X), np.int32)
        engine.find(centers, labels, keep=False)
        seconds.append(data.elapsed(engine.find, centers, labels, False))
    return seconds[0] / seconds[1]


class Scores:
    """Speed of the tiles, certification included."""

    params = (list(CLUSTERS), list(FEATURES), list(DTYPES))
    param_names = ("n_clusters", "n_features", "scores")
    timeout = 120
    unit = "% of the multiply-add peak"

    def track_share_of_peak(self, n_clusters, n_features, dtype):
        # Before and after: the clock of a shared machine wanders.
        before = limits.flops(dtype, N_THREADS)
        reached = _flops(n_features, n_clusters, dtype)
        return 100 * reached / max(before, limits.flops(dtype, N_THREADS))

    track_share_of_peak.pretty_name = "Tiles / multiply-add peak"


class Bound:
    """Samples that go up the cascade."""

    params = (PROBLEMS, list(DTYPES))
    param_names = ("data", "scores")
    timeout = 300
    unit = "% of the samples"

    def setup(self, name, dtype):
        self.X, self.centers = _problem(name)

    def track_undecided(self, name, dtype):
        return 100 * _undecided(self.X, self.centers)[dtype]

    track_undecided.pretty_name = "Samples that tiles leave undecided"


def grid(dtype: str) -> np.ndarray:
    """Share of the peak, (n_features, n_clusters)."""
    peak = 0.0
    reached = np.zeros((len(FEATURES), len(CLUSTERS)))
    for row, d in enumerate(FEATURES):
        peak = max(peak, limits.flops(dtype, N_THREADS))
        reached[row] = [_flops(d, k, dtype) for k in CLUSTERS]
        print(f"{dtype}, {d} features: {reached[row] / 1e9} GFLOP/s", flush=True)
    peak = max(peak, limits.flops(dtype, N_THREADS))
    print(f"{dtype}: peak {peak / 1e9:.0f} GFLOP/s", flush=True)
    return reached / peak


def grid_table(share: np.ndarray) -> str:
    """Markdown of a grid."""
    lines = [
        "| features | " + " | ".join(f"k={k}" for k in CLUSTERS) + " |",
        "|---" * (len(CLUSTERS) + 1) + "|",
    ]
    for d, row in zip(FEATURES, share, strict=True):
        lines.append(f"| {d} | " + " | ".join(f"{value:.0%}" for value in row) + " |")
    return "\n".join(lines)


def power_table() -> str:
    """Markdown of what the bound leaves undecided, and what that costs."""
    lines = [
        "| data | needed float64 | needed exact distances | time / all exact |",
        "|---|---|---|---|",
    ]
    for name in PROBLEMS:
        try:
            X, centers = _problem(name)
        except NotImplementedError:
            continue
        narrow, wide = _undecided(X, centers).values()
        too_long = X.size * len(centers) > MOST_PAIRS and name not in HARD_CASES
        ratio = "" if too_long else f"{_ratio_to_exact(X, centers):.2f}"
        lines.append(f"| {name} | {narrow:.3%} | {wide:.3%} | {ratio} |")
    return "\n".join(lines)


def picture(shares: dict[str, np.ndarray], path: Path) -> None:
    """Draw the grids as maps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for ax, (dtype, share) in zip(axes, shares.items(), strict=True):
        image = ax.imshow(share, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for row, column in itertools.product(*map(range, share.shape)):
            value = share[row, column]
            ink = "black" if value > 0.6 else "white"
            ax.text(column, row, f"{value:.0%}", ha="center", va="center", color=ink)
        ax.set_xticks(range(len(CLUSTERS)), CLUSTERS)
        ax.set_yticks(range(len(FEATURES)), FEATURES)
        ax.set(xlabel="clusters", ylabel="features", title=f"{dtype} scores")
    figure.colorbar(image, ax=axes, label="share of the multiply-add peak")
    plt.savefig(path, dpi=110)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("tiles"))
    output = parser.parse_args(argv).output
    shares = {dtype: grid(dtype) for dtype in DTYPES}
    text = "\n\n".join(
        [f"{dtype} scores\n\n{grid_table(share)}" for dtype, share in shares.items()]
        + [power_table()]
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "tiles.md").write_text(text + "\n")
    picture(shares, output / "tiles.png")
    print(f"\n{text}\n\nwritten to {output}")


if __name__ == "__main__":
    main()
