"""What a run found, as a table and as JSON; knows nothing of how it was measured."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.table import Table


class WrongAnswer(Exception):
    """The server under load did something wrong; figures of such a run mean nothing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value beside what bare grpc.aio does on the same machine in the same run."""

    name: str
    value: float
    unit: str
    """s, ms, bytes, or something per second."""
    ceiling: float | None = None
    """The same of bare grpc.aio; None where there is no such thing."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over ceiling: of a rate at best 1, of a time at least 1."""
        return None if self.ceiling is None else self.value / self.ceiling

    def as_json(self) -> dict[str, object]:
        """The figure for machines."""
        return {**asdict(self), "ratio": self.ratio}


def machine_facts() -> dict[str, object]:
    """Where the run takes place, and how busy it is there."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.processor(),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "load_average": list(os.getloadavg()),
    }


def table(figures: Sequence[Figure], machine: dict[str, object]) -> Table:
    """The figures for people."""
    caption = "Ceiling: bare grpc.aio, same shape, same run. Ratio: of a rate at best 1, of a time at least 1.\n"
    caption += ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    report = Table(caption=caption, caption_justify="left")
    report.add_column("figure", no_wrap=True)
    for heading in ("value", "ceiling", "ratio"):
        report.add_column(heading, justify="right", no_wrap=True)
    report.add_column("note")
    for figure in figures:
        report.add_row(
            figure.name,
            _readable(figure.value, figure.unit),
            "" if figure.ceiling is None else _readable(figure.ceiling, figure.unit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.note,
        )
    return report


def _readable(value: float, unit: str) -> str:
    if unit.startswith("bytes"):
        return f"{value / (1 << 20):,.1f} Mi{unit.replace('bytes', 'B')}"
    if value >= 100:
        return f"{value:,.0f} {unit}"
    return f"{value:.3g} {unit}"
