"""What a run found, as a table and as JSON; knows nothing of how it was measured."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Group
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


def table(figures: Sequence[Figure], machine: dict[str, object]) -> Group:
    """The figures for people, then what each stands for."""
    report = Table("figure")
    for heading in ("value", "ceiling", "ratio"):
        report.add_column(heading, justify="right")
    report.add_column("unit")
    for figure in figures:
        unit, scale = _scaled(figure.unit)
        report.add_row(
            figure.name,
            _readable(figure.value / scale),
            "" if figure.ceiling is None else _readable(figure.ceiling / scale),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            unit,
        )
    return Group(
        report,
        "Ceiling: bare grpc.aio, same shape, same run, or what a note names. Ratio: of a rate at best 1, of a time at "
        "least 1.",
        *(f"{figure.name}: {figure.note}" for figure in figures),
        "machine: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
    )


def _scaled(unit: str) -> tuple[str, int]:
    if unit.startswith("bytes"):
        return unit.replace("bytes", "MiB"), 1 << 20
    return unit[unit.index("/") :] if "/" in unit else unit, 1


def _readable(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
