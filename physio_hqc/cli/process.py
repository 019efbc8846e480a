"""``physio-hqc process``: sessions to tables and a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physio_hqc.cli._shared import console, escape, in_parallel, shown
from physio_hqc.errors import OutputError, PhysioError

if TYPE_CHECKING:
    from physio_hqc.pipeline import SessionResult


def process(
    files: Annotated[list[Path], typer.Argument(help="Session files.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="Folder of the results; each session gets a folder of its own.")
    ] = Path("derivatives"),
    config: Annotated[
        str, typer.Option(help="Settings: a name or a YAML file. [default: default]")
    ] = "",
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    jobs: Annotated[
        int, typer.Option(min=1, help="Sessions processed at a time. [default: all cores]")
    ] = os.cpu_count() or 1,
) -> None:
    """Turn session files into features per window, reactivity and a report.

    Leaves DIR/SESSION/ with features.csv, reactivity.csv, quality.csv, windows.csv, beats.csv,
    pressure_beats.csv, breaths.csv, scr.csv, scr_latency.csv, a data dictionary (.json) beside
    each, provenance.json and report.html.
    A session whose input, settings and version have not changed is left as it is. One bad session
    does not stop the others; it is named at the end and the exit code is 2.

    For example:

        physio-hqc process sample_recordings/*.h5 --out derivatives

        physio-hqc process P01.h5 --config my_settings.yaml --no-report
    """
    _refuse_same_names(files)
    calls = [(path, config or None, out, report) for path in files]
    results = in_parallel(process_one, calls, jobs, "processing")
    screen = console()
    failures = [error for error in results if isinstance(error, PhysioError)]
    for result in results:
        if not isinstance(result, PhysioError):
            folder, done = result
            word = "written" if done else "up to date, nothing to do"
            screen.print(f"{escape(folder)}: {word}", soft_wrap=True)
            _notice(folder)
    if failures:
        for error in failures[:-1]:
            typer.echo(f"error: {shown(error)}", err=True)
        raise failures[-1]


def process_one(path: Path, config: str | None, out: Path, report: bool) -> tuple[Path, bool]:
    """Process one session and write its report; return its folder and whether anything was done.

    Raises
    ------
    PhysioError
        If the session cannot be processed or its results cannot be written.
    """
    from physio_hqc.pipeline import load_pipeline_config
    from physio_hqc.pipeline._batch_worker import process_with_report

    settings = load_pipeline_config(config)
    result, done = process_with_report(path, settings, out, write_page if report else None)
    return out / result.name, done


def write_page(path: Path, result: SessionResult, page: Path) -> None:
    """Write the report of a processed session."""
    from physio_hqc.report import write_session_report
    from physio_hqc.session import open_session

    with open_session(path) as session:
        write_session_report(session, result, page)


def _notice(folder: Path) -> None:
    """Say that a recording was processed that had not been closed."""
    from physio_hqc.pipeline.store import stored_provenance

    provenance = stored_provenance(folder) or {}
    if provenance.get("input", {}).get("closed", True):
        return
    for text in provenance.get("notices", []):
        if "closed" in str(text):
            typer.echo(f"notice: {shown(folder.name)}: {shown(text)}", err=True)
            return


def _refuse_same_names(files: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in files:
        if path.stem in seen:
            raise OutputError(
                f"{seen[path.stem]} and {path} would share the folder {path.stem!r}: rename one"
            )
        seen[path.stem] = path
