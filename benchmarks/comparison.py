"""What the scripts that compare all peers share: arguments, cases, circumstances."""

from __future__ import annotations

import argparse
import datetime
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.data import CASES, N_THREADS
from fastkm.tour import machine

Result = dict[str, Any]


def arguments(
    description: str, cases: Iterable[str], output: str, argv: list[str] | None
) -> argparse.Namespace:
    """Cases, rounds, and the folder to write into."""
    names = list(cases)
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(names))
    parser.add_argument("-n", "--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path(output))
    given = parser.parse_args(argv)
    unknown = set(given.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {min(unknown)}; there are {', '.join(names)}")
    given.cases = given.cases or names
    return given


def gather(
    cases: Iterable[str],
    measure: Callable[[str], Result],
    table: Callable[[list[Result]], str],
) -> Iterator[Result]:
    """Measure case by case, showing each; those that cannot be made are left out."""
    for name in cases:
        try:
            result = measure(name)
        except NotImplementedError as reason:
            print(f"{name} left out: {reason}")
            continue
        print(table([result]), flush=True)
        yield result


def circumstances(n_rounds: int, names: Iterable[str]) -> dict[str, Any]:
    """When, where and with which versions."""
    return {
        "date": str(datetime.date.today()),
        "processor": machine.processor(),
        "system": machine.system(),
        "threads": N_THREADS,
        "rounds": n_rounds,
        "versions": machine.versions()
        | {name: peers.version(name) for name in names if name != "fastkm"},
    }


def place(where: dict[str, Any]) -> str:
    """The circumstances, in two lines."""
    versions = ", ".join(f"{name} {value}" for name, value in where["versions"].items())
    return (
        f"{where['processor']}, {where['threads']} threads, {where['system']}, "
        f"{where['date']}.\n{versions}."
    )


def describe(result: Result) -> str:
    """Name and shape of a case."""
    n, d = result["shape"]
    return f"{result['case']}: {n:,} x {d} {result['dtype']}, k={result['n_clusters']}"


def digits(value: float) -> str:
    """Three significant digits, or all before the point."""
    places = max(0, 2 - math.floor(math.log10(max(value, 1e-3))))
    return f"{value:,.{places}f}"


def mark(name: str) -> str:
    """Name of a peer, with a tilde where it is approximate."""
    approximate = peers.PEERS[name].difference.startswith("approximate")
    return name + " ~" if approximate else name


def write(
    folder: Path, name: str, text: str, where: dict[str, Any], results: list[Result]
) -> None:
    """Write and print a page, and write all figures as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    contents = json.dumps({**where, "results": results}, indent=1)
    (folder / f"{name}.json").write_text(contents)
    print(f"\n{text}\nwritten to {folder}")
