"""``physio-hqc batch``: a folder of sessions to a folder of results, in parallel, resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physio_hqc.cli._shared import progress_bar
from physio_hqc.errors import OutputError

if TYPE_CHECKING:
    from physio_hqc.pipeline import BatchResult, SessionDone

_MOST_NAMED = 10


def batch(
    folder: Annotated[
        Path, typer.Argument(help="Folder of session files, searched with its subfolders.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the results; each session gets a folder of its own.")
    ] = Path("derivatives"),
    config: Annotated[
        str, typer.Option(help="Settings: a name or a YAML file. [default: default]")
    ] = "",
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--mapping",
            "--map-file",
            help="CSV of vendor files: source,session,participant,condition,dyad,role,map,events,"
            "protocol,sfreq.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this computer. [default: all cores]")
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="Address of a running Dask scheduler to use instead.")
    ] = "",
    memory_limit: Annotated[
        str,
        typer.Option(help="Memory of each worker, e.g. 2GB. [default: its share of all memory]"),
    ] = "",
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Process every session (*.h5) below a folder, in parallel; run again, it does the rest.

    Leaves DIR/SESSION/ as **process** does, so that **study** DIR works as it is, and
    DIR/batch.csv: every session, done or failed and why. One bad session never stops the others;
    the exit code is then 2. What is up to date (input, settings, version) is skipped. Stopped by
    Ctrl-C or killed, nothing is half, and the same command does the rest. The results are the same
    bytes with any number of workers.

    **--mapping** names vendor files (EDF, BrainVision, WFDB, XDF, CSV, ...) to import first, one
    per row, with what **import** needs to know. Only the column source is needed; session is the
    name of the file if absent. map is CHANNEL=stream pairs, events a CSV of events, protocol a
    name or a YAML file, sfreq the rate in Hz of files that do not tell theirs. Paths are relative
    to the folder of the table and stay in it, or absolute. Separators: comma, semicolon or tab.
    The session files go to DIR/imported. Such a table is:

        source,session,participant,condition,dyad,role,map,events,protocol,sfreq

        edf/A.edf,p01,P01,support,,,"CH1=ecg; CH2=bp",edf/A_events.csv,lepore_1993,

        vision/B.vhdr,p02,P02,alone,D07,speaker,,,,

    **Memory**: a worker takes 240 MB in all for sessions of half an hour (ECG 250 Hz, pressure
    100 Hz, EDA 32 Hz), however many; 440 MB where it draws reports. A session that needs more than
    --memory-limit fails with that reason, and the others go on.

    **Exit codes**: 0 all done; 2 a session failed, or nothing could be begun (one line says why);
    130 stopped by Ctrl-C. **--json** prints {"sessions": 300, "done": 299, "up_to_date": 12,
    "failed": [{"session": "p07", "source": "week1/p07.h5", "reason": "..."}], "notices": ["..."],
    "out": "derivatives"}; up_to_date are counted in done. Errors and notices go to stderr.

    **Cluster**: --scheduler takes the address of any Dask scheduler whose workers have this
    version and see the same folders. With SLURM, in Python: cluster =
    dask_jobqueue.SLURMCluster(cores=1, processes=1, memory="2GB"); cluster.scale(jobs=200);
    cluster.scheduler_address is the address. The cluster is left running.

    For example:

        physio-hqc batch recordings --out derivatives

        physio-hqc batch recordings --out derivatives --mapping vendor_files.csv --workers 4

        physio-hqc batch recordings --out derivatives --scheduler tcp://10.0.0.1:8786
    """
    from physio_hqc.cli.process import write_page
    from physio_hqc.pipeline import process_batch

    with _progress() as (started, done):
        result = process_batch(
            folder,
            out,
            config=config or None,
            workers=workers,
            scheduler=scheduler or None,
            mapping=mapping,
            memory_limit=memory_limit or None,
            report=write_page if report else None,
            on_start=started,
            on_result=done,
            on_notice=lambda text: typer.echo(f"notice: {text}", err=True),
        )
    if as_json:
        typer.echo(json.dumps(_summary(result, out), indent=2, ensure_ascii=False))
    else:
        _say(result, out)
    if result.n_failed:
        raise OutputError(
            f"{result.n_failed} of {len(result.table)} sessions failed: see {out / 'batch.csv'}"
        )


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[SessionDone], None]]]:
    """Sessions done of all, failed, and time left, where somebody watches."""
    failed = 0
    with progress_bar() as bar:
        task = bar.add_task("starting workers", total=None)

        def started(total: int) -> None:
            bar.update(task, total=total, description="processing")

        def done(result: SessionDone) -> None:
            nonlocal failed
            failed += result.status == "failed"
            words = f"processing, {failed} failed" if failed else "processing"
            bar.update(task, advance=1, description=words)

        yield started, done


def _say(result: BatchResult, out: Path) -> None:
    failed = result.table[result.table["status"] == "failed"]
    for row in failed.head(_MOST_NAMED).itertuples():
        typer.echo(f"failed: {row.source}: {row.reason}", err=True)
    if len(failed) > _MOST_NAMED:
        typer.echo(f"failed: and {len(failed) - _MOST_NAMED} more", err=True)
    typer.echo(
        f"{result.n_done} of {len(result.table)} sessions done ({result.n_up_to_date} were up to "
        f"date), {result.n_failed} failed: {out}"
    )


def _summary(result: BatchResult, out: Path) -> dict[str, object]:
    """What a program needs to know."""
    failed = result.table[result.table["status"] == "failed"]
    return {
        "sessions": len(result.table),
        "done": result.n_done,
        "up_to_date": result.n_up_to_date,
        "failed": failed[["session", "source", "reason"]].to_dict("records"),
        "notices": list(result.notices),
        "out": str(out),
    }
