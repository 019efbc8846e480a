"""What the benchmark leaves: tables on the screen, benchmark.json and benchmark.md."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import OURS, PartResult, Table

_PACKAGES = (
    "physio-hqc", "numpy", "scipy", "pandas", "neurokit2", "sleepecg", "wfdb", "biosppy",
)  # fmt: skip


def environment(command: list[str]) -> dict[str, Any]:
    """Describe where and with what the figures were made."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["python", *command]),
        "machine": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        # Above the number of cores, others were at work and all speeds are too low alike.
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def cell(value: Any, digits: int | None = None) -> str:
    """Return a table cell as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if digits is not None:
        return f"{value:,.{digits}f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _text_rows(table: Table) -> Iterable[list[str]]:
    for row in table.rows:
        yield [
            cell(_plain(value), table.digits.get(column))
            for column, value in zip(table.columns, row, strict=True)
        ]


def _plain(value: Any) -> Any:
    """Return a Python value for a NumPy one."""
    return value.item() if isinstance(value, np.generic) else value


def show(result: PartResult, console: Any) -> None:
    """Print one part."""
    from rich.table import Table as Drawn

    console.rule(f"[bold]{result.name}[/bold]  {result.title}")
    for table in result.tables:
        drawn = Drawn(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left")
        for texts in _text_rows(table):
            drawn.add_row(*texts, style="bold" if OURS in texts[0] else None)
        console.print(drawn)
    for note in result.notes:
        console.print(f"  {note}", style="dim", markup=False)
    console.print(f"  ({result.seconds:.0f} s)", style="dim")


def markdown(results: list[PartResult], about: dict[str, Any]) -> str:
    """Return the whole benchmark as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        "# Benchmark",
        "",
        (
            f"{about['date']}, `{about['command']}`, {about['machine']}, {about['cores']} cores "
            f"(load at the start {about['load']}), "
            f"{about['system']}, Python {about['python']}; {versions}."
        ),
        "",
    ]
    for result in results:
        lines += [f"## {result.name}: {result.title}", ""]
        for table in result.tables:
            lines += [f"**{table.title}**", "", "| " + " | ".join(table.columns) + " |"]
            lines += [
                "|" + "|".join("---" if n == 0 else "---:" for n in range(len(table.columns))) + "|"
            ]
            lines += ["| " + " | ".join(texts) + " |" for texts in _text_rows(table)]
            lines += [""]
        lines += [f"- {note}" for note in result.notes]
        lines += [f"\n![{result.name}]({name})" for name in result.figures]
        lines += [f"- The part took {result.seconds:.0f} s.", ""]
    return "\n".join(lines)


def prepare(folder: Path) -> None:
    """Make the folder of the results; one that is new is kept out of version control."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True)
        # Results belong to a machine and a day, not to the repository.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        fail(f"{folder} cannot be made ({error.strerror}): give another folder with --out")


def write(results: list[PartResult], about: dict[str, Any], folder: Path) -> None:
    """Write benchmark.json and benchmark.md."""
    parts = {
        result.name: {
            "title": result.title,
            "tables": [{"title": t.title, "rows": t.records()} for t in result.tables],
            "notes": result.notes,
            "figures": result.figures,
            "seconds": round(result.seconds, 1),
        }
        for result in results
    }
    text = json.dumps(_json({"about": about, "parts": parts}), indent=1, ensure_ascii=False)
    (folder / "benchmark.json").write_text(text + "\n", encoding="utf-8")
    (folder / "benchmark.md").write_text(markdown(results, about) + "\n", encoding="utf-8")


def _json(value: Any) -> Any:
    """Return what JSON can hold: no NumPy, null for NaN."""
    if isinstance(value, dict):
        return {str(key): _json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_json(entry) for entry in value]
    value = _plain(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fail(message: str) -> None:
    """Say on one line why nothing was run, and stop with exit code 2."""
    print(f"benchmark: {message}", file=sys.stderr)
    sys.exit(2)
