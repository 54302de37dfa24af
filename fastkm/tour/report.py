"""The report: one HTML page that needs no other file, and a summary for a terminal."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jinja2

from fastkm.tour import machine, timing
from fastkm.tour.clusterings import Clusterings
from fastkm.tour.digits import Classified
from fastkm.tour.restarts import Comparison
from fastkm.tour.timing import Curve, Point

STOPS = {
    "unchanged": "until no center moved any more",
    "tol": "until the centers moved less than the default tol asks for",
    "max_iter": "the most that were allowed",
}
TABLE_ROWS = 9  # of the points of a curve


class Study(NamedTuple):
    """All results of a tour."""

    length: str
    seed: int
    plane: list[Clusterings]
    comparison: Comparison
    curves: list[Curve]
    classified: Classified
    load_before: str
    compiling: float
    seconds: float


def render(study: Study) -> str:
    """Write the study up as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fastkm", "tour"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=duration, count=count, percent=percent, some=some, ratio=ratio
    )
    parts = [(data.title, data.report) for data in study.plane]
    parts += [(f"time in {c.n_features}-D", c.report) for c in study.curves]
    parts += [(study.classified.task.name, study.classified.report)]
    return environment.get_template("report.html").render(
        study._asdict(),
        parts=parts,
        stops=STOPS,
        time_clusters=timing.N_CLUSTERS,
        versions=machine.versions(),
        processor=machine.processor(),
        system=machine.system(),
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def summary(study: Study, path: Path, n_pictures: int) -> str:
    """Tell the results in a few lines, and where the report is."""
    classified = study.classified
    lines = [
        f"digits   {percent(classified.test_accuracy)} right of those not trained on "
        f"({classified.task.name})"
    ]
    for curve in study.curves:
        last = curve.points[-1]
        lines.append(
            f"{curve.n_features}-D".ljust(9)
            + f"{ratio(last)} times as fast as scikit-learn on "
            f"{last.n_samples} samples"
        )
    lines.append(
        f"seconds  {study.seconds:.0f}, of which compiling {study.compiling:.0f}"
    )
    lines.append(f"report   {path} ({n_pictures} pictures beside it)")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well.

    Examples
    --------
    >>> duration(0.000214), duration(0.0314), duration(3.14), duration(314)
    ('0.21 ms', '31.4 ms', '3.14 s', '5 min 14 s')
    """
    if seconds < 0.001:
        return f"{seconds * 1e3:.2f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def count(number: int) -> str:
    """Group the digits of a number by narrow spaces."""
    return f"{number:,}".replace(",", "\u202f")


def percent(share: float) -> str:
    """Give a share in percent.

    Examples
    --------
    >>> percent(0.9581), percent(1)
    ('95.8 %', '100.0 %')
    """
    return f"{100 * share:.1f} %"


def ratio(point: Point) -> str:
    """How many times as fast as scikit-learn."""
    return f"{point.sklearn / point.fastkm:.1f}"


def some(points: list[Point]) -> list[Point]:
    """Choose points that are spread evenly, the last among them."""
    step = math.ceil(len(points) / TABLE_ROWS)
    return points[::-1][::step][::-1]
