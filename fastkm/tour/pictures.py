"""The pictures of a report: drawn without a display, kept as PNG files and as text."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from fastkm.files import replacing

DPI = 150

# Told apart by color-blind readers too (Okabe and Ito, Color universal design, 2008).
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


class Picture(NamedTuple):
    """A PNG: its file name, what it shows, and its content in base64."""

    name: str
    alt: str
    data: str


class Album:
    """Pictures that go into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures: list[Picture] = []

    def add(self, name: str, figure: Figure, alt: str) -> Picture:
        """Draw a figure into name.png."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        content = buffer.getvalue()
        with replacing(self.folder / f"{name}.png") as file:
            file.write(content)
        picture = Picture(f"{name}.png", alt, base64.b64encode(content).decode())
        self.pictures.append(picture)
        return picture


def new_figure(width: float, height: float) -> Figure:
    """Give a figure of that many inches, outside pyplot: it needs no window system."""
    return Figure(figsize=(width, height), layout="constrained")
