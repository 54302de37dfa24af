"""What an engine does in every iteration: python benchmarks/iterations.py [CASE ...].

Follows a run to convergence and records, per iteration, milliseconds for finding labels
and for sums and centers, samples that changed their label, and what the engine counts
(samples read, pairs that a sieve let pass). Writes iterations.json and .png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import data
from benchmarks.data import CASES
from fastkm import lloyd

MOST_ITERATIONS = 200


def follow(name: str) -> list[dict[str, Any]]:
    """One record per iteration of a case."""
    X, centers, _ = data.work(name)
    for _ in range(2):  # compile first
        engine = data.make_engine("auto", X, len(centers))
        seconds = Counter()
        for part in ("step", "update"):
            setattr(engine, part, timed(getattr(engine, part), part, seconds))
        run, records = lloyd.Run(centers), []
        for _ in range(MOST_ITERATIONS):
            before = Counter(engine.counts)
            run.n_iter += 1
            seconds.clear()
            start = time.perf_counter()
            moved = lloyd._next_centers(engine, run, lloyd.LLOYD)
            whole = time.perf_counter() - start
            labels = seconds["step"] - seconds["update"]
            n_moved = int((moved != run.centers).any(axis=1).sum())
            records.append(
                {
                    "labels_ms": 1e3 * labels,
                    "rest_ms": 1e3 * (whole - labels),
                    "changed": run.n_changed[-1],
                    "centers_moved": n_moved,
                    **(Counter(engine.counts) - before),
                }
            )
            run.centers = moved
            if not n_moved:
                break
    return records


def timed(call: Any, name: str, seconds: Counter[str]) -> Any:
    """Give the call, whose seconds are added up by name."""

    def run(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = call(*arguments, **options)
        seconds[name] += time.perf_counter() - start
        return result

    return run


def picture(found: dict[str, list[dict[str, Any]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2,
        len(found),
        figsize=(5.2 * len(found), 7),
        squeeze=False,
        layout="constrained",
    )
    for (name, records), (top, bottom) in zip(found.items(), axes.T, strict=True):
        steps = np.arange(1, len(records) + 1)
        labels, rest = (
            np.array([record[key] for record in records])
            for key in ("labels_ms", "rest_ms")
        )
        top.bar(steps, labels, 1.0, label="labels", color="#2f6db3")
        top.bar(steps, rest, 1.0, bottom=labels, label="sums, centers", color="#b9bec4")
        top.set(title=name, yscale="log", ylabel="milliseconds")
        keys = sorted({key for record in records for key in record})
        for key in keys:
            values = [record.get(key, 0) for record in records]
            if not key.endswith("_ms") and any(values):
                bottom.plot(steps, values, label=key.replace("_", " "))
        bottom.set(xlabel="iteration", yscale="log", ylabel="number")
        top.legend(frameon=False, fontsize=8)
        under = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        bottom.legend(frameon=False, fontsize=8, ncols=2, **under)
        for ax in (top, bottom):
            ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("-o", "--output", type=Path, default=Path("iterations"))
    arguments = parser.parse_args()
    found = {}
    for name in arguments.cases or ["diagonal", "mnist"]:
        if name not in CASES:
            parser.error(f"unknown case {name}; there are {', '.join(CASES)}")
        found[name] = follow(name)
        total = sum(r["labels_ms"] + r["rest_ms"] for r in found[name])
        print(f"{name}: {len(found[name])} iterations, {total:.0f} ms")
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "iterations.json").write_text(json.dumps(found, indent=1))
    picture(found, arguments.output / "iterations.png")
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
