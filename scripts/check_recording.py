"""Check the recorder against its figures, each by one command.

    python scripts/check_recording.py kills|disconnects|clock|load|disk-full|tags|fuzz|all [--quick]

Every check runs the real recorder and prints what it measured beside what is to be reached. The
exit code is 1 when anything is missed and 2 when it could not be measured. The full checks take
their time (`load` and `kills` some ten minutes each); `--quick` is smaller everywhere. The virtual
devices need the extra `virtual`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time

# One thread of linear algebra, set before NumPy is loaded: what is measured is the recorder.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from recording.common import Bench, CheckError, InterruptedCheckError, Outcome  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table  # noqa: E402

from physio_hqc.errors import PhysioError  # noqa: E402

# Name on the command line, module in scripts/recording/, what it does.
CHECKS = {
    "kills": ("kills", "200 kills of a recorder with five streams"),
    "disconnects": ("disconnects", "100 lost connections of virtual devices in one session"),
    "clock": ("clock", "drifting, jittering and bursting devices against the truth"),
    "load": ("load", "16 streams x 1000 Hz for ten minutes, and the usual three devices"),
    "disk-full": ("disk_full", "a full disk and a limit of file size"),
    "tags": ("tags", "how late tags from other programs are"),
    "fuzz": ("fuzzing", "10,000 malformed packets for every decoder"),
}
_SHORT_FIRST = ("tags", "fuzz", "disk-full", "clock", "disconnects", "kills", "load")


def main() -> int:
    """Run the checks asked for; 0 if every figure is reached."""
    given = _arguments()
    console = Console() if sys.stdout.isatty() else Console(width=140)
    # Closing the terminal and `kill` end it as Ctrl-C does: nothing is left behind.
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.default_int_handler)
    wanted = _SHORT_FIRST if given.check == "all" else (given.check,)
    outcomes = []
    try:
        for name in wanted:
            outcomes.append(_run(name, given.quick, given.n))
            _show(outcomes[-1], console)
    except (KeyboardInterrupt, InterruptedCheckError):
        console.print("interrupted; nothing is left behind", style="yellow")
        return 130
    except (PhysioError, CheckError) as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    missed = [outcome.name for outcome in outcomes if not outcome.ok]
    if len(outcomes) > 1:
        console.print(f"missed: {', '.join(missed)}" if missed else "every figure is reached")
    return 1 if missed else 0


def _run(name: str, quick: bool, n: int | None) -> Outcome:
    module = importlib.import_module(f"recording.{CHECKS[name][0]}")
    options = {} if n is None else {"n": n}
    start = time.perf_counter()
    with _progress() as progress:
        task = progress.add_task(CHECKS[name][1], total=None)

        def advance(done: float, total: float, text: str) -> None:
            progress.update(task, completed=done, total=total, description=f"{name}: {text}")

        with Bench(advance) as bench:
            outcome: Outcome = module.run(bench, quick=quick, **options)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)


def _show(outcome: Outcome, console: Console) -> None:
    table = Table(
        "figure", "measured", "to reach", "", title=f"{outcome.name} ({outcome.seconds:.0f} s)",
        title_justify="left",
    )  # fmt: skip
    for figure in outcome.figures:
        verdict = "[green]reached[/green]" if figure.ok else "[bold red]MISSED[/bold red]"
        table.add_row(figure.name, figure.measured, figure.wanted, verdict)
    console.print(table)
    for note in outcome.notes:
        console.print(note, markup=False, highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Check the recorder against its figures.",
        epilog="\n".join(f"{name:12s} {text}" for name, (_, text) in CHECKS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("check", choices=[*CHECKS, "all"], help="which check")
    parser.add_argument("--quick", action="store_true", help="smaller, for the test suite")
    parser.add_argument("-n", type=int, help="how many kills, disconnects, tags or packets")
    given = parser.parse_args()
    if given.n is not None and (
        given.check in ("all", "clock", "load", "disk-full") or given.n < 1
    ):
        parser.error("-n belongs to kills, disconnects, tags and fuzz, and is at least 1")
    return given


if __name__ == "__main__":
    sys.exit(main())
