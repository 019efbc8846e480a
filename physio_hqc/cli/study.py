"""``physio-hqc study``: processed sessions to contrasts, tables, a report and a methods text."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physio_hqc.cli._shared import console, escape, progress_bar, table

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from physio_hqc.study import StudyResult

STUDY = "study"
REPORT = "report.html"
METHODS = "methods.md"
_MOST_NAMED = 10
_SHOWN = ("outcome", "window", "term", "estimate", "ci_low", "ci_high", "p", "p_holm", "hedges_g")


def study(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of processed sessions, or a CSV file of features.", show_default=False
        ),
    ],
    participants: Annotated[
        Path,
        typer.Option(help="participants.csv: id, sex, age, condition, dyad, session, covariates."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study's results. [default: SOURCE/study]"),
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option(help="ratings.csv: participant, window, name, value; or a column per item."),
    ] = None,
    config: Annotated[
        str, typer.Option(help="Study settings: a name or a YAML file. [default: default]")
    ] = "",
    report: Annotated[bool, typer.Option(help="Write report.html, figures and methods.md.")] = True,
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Allow sessions processed with different settings."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the planned contrasts as JSON.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes that read sessions. [default: all cores]")
    ] = os.cpu_count() or 1,
) -> None:
    """Answer the design's question: how conditions differ in reactivity.

    Reads what process or batch left in SOURCE, and a table of the participants (columns id,
    condition, and as known sex, age, session, covariates). Leaves OUT/ with reactivity.csv,
    recovery.csv, allostatic.csv (the allostatic-load proxy), descriptives.csv, statistics.csv,
    assumptions.csv, sensitivity.csv, power.csv, associations.csv and more, each with a data
    dictionary (.json), and report.html, figures/ (SVG and PNG) and methods.md.

    For example:

        physio-hqc study derivatives --participants participants.csv

        physio-hqc study derivatives --participants participants.csv --ratings ratings.csv
        --config lepore_1993 --out results
    """
    from physio_hqc.study import process_study

    place = out if out is not None else _default_place(source)
    with stages() as progress:
        result = process_study(
            source,
            participants,
            ratings=ratings,
            config=config or None,
            out_dir=place,
            allow_mixed=allow_mixed,
            jobs=jobs,
            progress=progress,
            finish=outputs(progress) if report else None,
        )
    if as_json:
        typer.echo(json.dumps(_plain(result), indent=2, ensure_ascii=False))
        return
    show(result, place)


def outputs(
    progress: Callable[[str, int, int], None],
) -> Callable[[StudyResult, Path], None]:
    """What writes figures, report and methods into the folder of a study."""

    def write(result: StudyResult, folder: Path) -> None:
        from physio_hqc.report import save_study_figures, write_study_methods, write_study_report

        progress("figures", 0, 0)
        save_study_figures(result, folder / "figures")
        progress("report", 0, 0)
        write_study_report(result, folder / REPORT)
        write_study_methods(result, folder / METHODS)

    return write


def show(result: StudyResult, place: Path) -> None:
    """Print who was analysed, the planned contrasts, and where the results are."""
    screen = console()
    flow = result.tables["flow"]
    counts = flow["status"].value_counts()
    screen.print(", ".join(f"{number} {escape(status)}" for status, number in counts.items()))
    _name_the_others(flow)
    rows = planned(result)
    if len(rows):
        screen.print(_table(rows, result))
    for text in result.notices:
        typer.echo(f"notice: {text}", err=True)
    screen.print(f"tables: {escape(place)}", soft_wrap=True)
    for path in (place / REPORT, place / METHODS):
        if path.exists():
            screen.print(f"{path.stem}: {escape(path)}", soft_wrap=True)


def _name_the_others(flow: pd.DataFrame) -> None:
    """Say who is not analysed, and why."""
    others = flow[flow["status"] != "analysed"]
    for row in others.head(_MOST_NAMED).itertuples():
        who = row.participant or row.session
        why = f" ({row.reason})" if row.reason else ""
        typer.echo(f"notice: {who}: {row.status}{why}", err=True)
    if len(others) > _MOST_NAMED:
        typer.echo(f"notice: and {len(others) - _MOST_NAMED} more, see flow.csv", err=True)


def planned(result: StudyResult) -> pd.DataFrame:
    """Planned contrasts of the analysis of covariance, with the errors chosen beforehand."""
    tests = result.tables["statistics"]
    chosen = tests["primary"] & (tests["analysis"] == "ANCOVA") & (tests["kind"] == "contrast")
    return tests[chosen]


def _default_place(source: Path) -> Path:
    return (source if source.is_dir() else source.parent) / STUDY


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Progress of the stages of a study, on standard error."""
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total or None)

        yield progress


def _table(rows: pd.DataFrame, result: StudyResult) -> Table:
    head = ("outcome", "window", "contrast", "difference", "95% CI", "p", "p (Holm)", "g")
    if result.config["alpha"] != 0.05:
        head = (*head[:4], f"{100 * (1 - result.config['alpha']):g}% CI", *head[5:])
    shown = table(*head, title="Planned contrasts of reactivity", right=head[3:])
    for row in rows.itertuples():
        shown.add_row(
            escape(row.outcome),
            escape(row.window),
            escape(row.term),
            _number(row.estimate, "+.2f") + (f" {escape(row.unit)}" if row.unit else ""),
            f"{_number(row.ci_low, '.2f')} to {_number(row.ci_high, '.2f')}",
            _p(row.p),
            _p(row.p_holm),
            _number(row.hedges_g, "+.2f"),
        )
    return shown


def _number(value: float, form: str) -> str:
    return "–" if value != value else format(value, form)


def _p(value: float) -> str:
    if value != value:
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")


def _plain(result: StudyResult) -> dict[str, Any]:
    """What a program needs: flow, planned contrasts, notices."""
    rows = planned(result)[list(_SHOWN)].astype(object)
    return {
        "flow": {
            str(status): int(number)
            for status, number in result.tables["flow"]["status"].value_counts().items()
        },
        "contrasts": rows.where(rows.notna(), None).to_dict("records"),
        "notices": result.notices,
        "out": str(result.out_dir),
    }
