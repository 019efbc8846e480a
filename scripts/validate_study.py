"""Show that the statistics of a study do what they say, on studies whose truth is known.

    python scripts/validate_study.py ancova|mixed|lepore|road|all [--studies N] [--json FILE]

ancova   2,500 studies per scenario, drawn at the level of features, through
         ``physio_hqc.study.condition_contrasts(analyses=("ANCOVA",))``: false positives where
         conditions do nothing, coverage of the 95 % intervals where they do.
mixed    the same for the mixed model, 300 studies per scenario.
lepore   how often 30 participants per condition show nonsupport > alone > support.
road     one study of 90 sessions from signals: simulated, processed, analyzed, and its estimates
         compared with what was planted.

The exit code is 1 when a figure misses its band by more than twice its Monte Carlo standard error
(MC error), 2 when something could not be run. Seeds are fixed: the same command, the same numbers.

How a study comes about (``physio_hqc.simulate.simulate_feature_study``, systolic pressure by cuff,
mmHg). A person rests at L ~ N(116, 10.25) within one sex, men 8 higher than women (SD 11 in all).
Four baseline readings are L + e, e ~ N(0, 4.5): their mean has a reliability of 0.954 within sex,
which is realistic for the mean of four readings at one visit. Four readings in the speech are
L + d(t) + r + u + e with the condition's effect d, the person's reactivity r ~ N(0, 8) (men 4
higher than women), u ~ N(0, 2) of the phase alone; in the preparation half of r. Resting level and
reactivity are independent. The analysis sees the means of the readings and adjusts for the observed
baseline and for sex; what is compared is systolic pressure in the speech.

Scenarios vary this: cells of 20, 30 and 40; everything but rest varying twice as much in the
smallest or in the largest cell; a quarter of the readings and a tenth of the sessions missing at
random; baselines of nonsupport 6 mmHg higher, by chance (everybody from one population: L and e
share the difference as they do by chance) or truly; Student's t with 4 degrees of freedom in place
of the normal distribution; all of it at once.

Where conditions truly differ at rest, no adjustment for an observed baseline is exact (Lord 1967,
doi 10.1037/h0025105): the part of the difference that is hidden in the unreliability stays, here
(1 - 0.954) * 6 = 0.28 mmHg or an eighth of the standard error. With a less reliable baseline it
would be more, and a change score, which has no such bias, would be the analysis to believe.

Judged are the errors that the analysis declares primary; the others are shown beside them. Several
studies are analyzed in one call, each as an outcome of its own, since outcomes do not influence one
another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# One thread of linear algebra, set before NumPy is loaded: the processes are the parallel part.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from rich import box  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table  # noqa: E402
from validation.common import MISSED, WITHIN, Outcome  # noqa: E402

from physio_hqc.errors import PhysioError  # noqa: E402

PARTS = ("ancova", "mixed", "lepore", "road")
STUDIES = {"ancova": 2500, "mixed": 300, "lepore": 2000}
_STYLES = {MISSED: "bold red", WITHIN: "yellow", "no": "yellow"}


def main() -> int:
    """Run the parts asked for; 0 if no figure misses its band."""
    given = _arguments()
    console = Console() if sys.stdout.isatty() else Console(width=200)
    outcomes: list[Outcome] = []
    try:
        for name in PARTS if given.part == "all" else (given.part,):
            with _progress() as advance:
                outcomes.append(_run(name, given, advance))
            _show(outcomes[-1], console)
    except KeyboardInterrupt:
        console.print("interrupted", style="yellow")
        return 130
    except PhysioError as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    if given.json is not None:
        given.json.write_text(json.dumps(_plain(outcomes), indent=1) + "\n", encoding="utf-8")
    missed = [outcome.name for outcome in outcomes if not outcome.ok]
    console.print(f"missed: {', '.join(missed)}" if missed else "every figure lies in its band")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Validate the study's statistics on studies whose truth is known."
    )
    parser.add_argument("part", choices=(*PARTS, "all"))
    parser.add_argument("--studies", type=int, help="studies per scenario (ancova, mixed, lepore)")
    parser.add_argument("--only", action="append", help="scenarios whose name holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--per-condition", type=int, default=30, help="road: sessions a condition")
    parser.add_argument("--seed", type=int, default=1993, help="road: seed of the study")
    parser.add_argument("--time-scale", type=float, default=1.0, help="road: shorter sessions")
    parser.add_argument("--out", type=Path, help="road: keep the study in this folder")
    given = parser.parse_args()
    for name in ("studies", "jobs", "per_condition"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return given


def _run(name: str, given: argparse.Namespace, advance: Any) -> Outcome:
    """Run one part."""
    from validation import pattern, rates, road

    studies = given.studies or STUDIES.get(name, 0)
    if name == "road":
        return road.run(
            given.per_condition, given.seed, given.time_scale, given.jobs, advance, given.out
        )
    if name == "lepore":
        return pattern.run(studies, given.jobs, advance)
    analysis = {"ancova": "ANCOVA", "mixed": "mixed model"}[name]
    return rates.run(analysis, studies, given.jobs, advance, given.only)


@contextmanager
def _progress() -> Iterator[Any]:
    """Show progress on standard error, where somebody watches."""
    console = Console(stderr=True)
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(
            task, description=what, completed=done, total=total
        )


def _show(outcome: Outcome, console: Console) -> None:
    """Print what a part found."""
    for given in outcome.tables:
        table = Table(title=given.title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for column in given.columns:
            table.add_column(column, no_wrap=column in ("scenario", "verdict"))
        for row in given.rows:
            style = next((_STYLES[cell] for cell in row if cell in _STYLES), None)
            table.add_row(*row, style=style)
        console.print(table)
    for note in outcome.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    for figure in outcome.missed:
        text = (
            f"MISSED: {figure.scenario}: {figure.name} {figure.errors}: {figure.value:.4f} "
            f"(MC error {figure.se:.4f}), to be {figure.low:g} to {figure.high:g}"
        )
        console.print(text, markup=False, highlight=False, soft_wrap=True, style="bold red")
    console.print(f"{outcome.name}: {outcome.seconds:.0f} s\n", highlight=False)


def _plain(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return all figures as plain data."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "parts": [
            {
                "name": outcome.name,
                "n": outcome.n,
                "seconds": round(outcome.seconds, 1),
                "ok": outcome.ok,
                "figures": [
                    {
                        key: None if value != value else value
                        for key, value in figure.plain().items()
                    }
                    for figure in outcome.figures
                ],
                "notes": outcome.notes,
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
