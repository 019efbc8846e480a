"""``physio-hqc demo``: a small study simulated, processed and reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physio_hqc.cli._shared import console, escape, in_parallel, progress_bar, table
from physio_hqc.errors import OutputError, PhysioError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from physio_hqc.pipeline import SessionResult

CONDITIONS = ("alone", "support", "nonsupport")
DESIGN = "lepore_1993"
TIME_SCALE = 0.4
OUTCOMES = (
    ("BP_SBP_Mean", "SBP (mmHg)"),
    ("ECG_Rate_Mean", "HR (1/min)"),
    ("HRV_RMSSD", "RMSSD (ms)"),
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the sessions and their results.")] = Path(
        "demo_output"
    ),
    n: Annotated[int, typer.Option("--n", min=1, help="Participants per condition.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same study.")] = 1993,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Simulate a small support study, process it, test it, write the reports, print where.

    The design is that of Lepore, Allen & Evans (1993) with shortened phases: a speech given alone,
    beside a supportive or beside a non-supportive confederate. The people are simulated, with the
    effect that the study found; so the table at the end shows what was put in.

    For example:

        physio-hqc demo

        physio-hqc demo --out /tmp/study --n 5 --seed 7
    """
    from physio_hqc.cli.process import process_one
    from physio_hqc.cli.study import REPORT, STUDY, outputs, stages
    from physio_hqc.pipeline import load_result
    from physio_hqc.report import write_sessions_report
    from physio_hqc.simulate import simulate_study
    from physio_hqc.study import process_study

    _refuse_to_replace_recordings(out / "sessions")
    with progress_bar() as progress:
        task = progress.add_task("simulating", total=None)
        study = simulate_study(
            out / "sessions",
            n,
            seed=seed,
            conditions=CONDITIONS,
            time_scale=TIME_SCALE,
            jobs=jobs,
            overwrite=True,
            progress=lambda done, total, _: progress.update(task, completed=done, total=total),
        )
    derivatives = out / "derivatives"
    calls = [(session.path, None, derivatives, True) for session in study.sessions]
    outcomes = in_parallel(process_one, calls, jobs, "processing")
    for outcome in outcomes:
        if isinstance(outcome, PhysioError):
            raise outcome
    results = [load_result(folder) for folder, _ in outcomes]
    page = write_sessions_report(results, derivatives / "report.html")
    with stages() as progress:
        process_study(
            derivatives,
            study.participants_csv,
            ratings=study.ratings_csv,
            config=DESIGN,
            out_dir=derivatives / STUDY,
            jobs=jobs,
            progress=progress,
            finish=outputs(progress),
        )
    answer = derivatives / STUDY / REPORT
    screen = console()
    screen.print(_table(_reactivity(results)))
    screen.print(
        f"The effect of the condition was planted by the simulator; {n} per condition.\n"
        f"One report per participant: {escape(derivatives)}/<session>/report.html\n"
        f"All sessions: {escape(page.resolve())}\n"
        f"The study, with contrasts, figures and methods: {escape(answer.resolve())}",
        soft_wrap=True,
    )


def _refuse_to_replace_recordings(folder: Path) -> None:
    """Let a second demo replace the first, and nothing that somebody recorded."""
    from physio_hqc.simulate import truth_path_for

    for path in sorted(folder.glob("*.h5")):
        if not truth_path_for(path).exists():
            raise OutputError(f"{path} is no simulated session: choose another --out folder")


def _reactivity(results: list[SessionResult]) -> pd.DataFrame:
    """Mean change from baseline during the speech: conditions as rows, outcomes as columns."""
    import pandas as pd

    scores = pd.concat([result.tables["reactivity"] for result in results], ignore_index=True)
    speech = scores[(scores["kind"] == "phase") & (scores["window"] == "speech")]
    means = speech.pivot_table(
        index="condition", columns="feature", values="delta", aggfunc="mean", dropna=False
    )
    return means.reindex(index=list(CONDITIONS), columns=[name for name, _ in OUTCOMES])


def _table(means: pd.DataFrame) -> Table:
    titles = [title for _, title in OUTCOMES]
    rows = table(
        "condition", *titles, title="Mean change from baseline during the speech", right=titles
    )
    for condition, values in means.iterrows():
        rows.add_row(
            str(condition), *("–" if value != value else f"{value:+.1f}" for value in values)
        )
    return rows
