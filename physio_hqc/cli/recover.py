"""``physio-hqc recover``: a whole session file from a broken or unclosed one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from physio_hqc.cli._shared import console, escape


def recover(
    file: Annotated[
        Path, typer.Argument(help="Broken or unclosed session file.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File to make. [default: NAME_recovered.h5 beside FILE]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON.")] = False,
) -> None:
    """Make a whole session file of a broken or unclosed one, and say what was lost.

    For recordings that a crash, a power cut or a full disk broke off, copies that were cut short,
    and files with damaged pages. FILE is never changed. Phases and interaction windows that were
    still open end with the last data.

    For example:

        physio-hqc recover P01.h5 --out P01_recovered.h5
    """
    from physio_hqc.session.recover import recover_session

    target = file.with_name(f"{file.stem}_recovered{file.suffix}") if out is None else out
    report = recover_session(file, target, overwrite=overwrite)
    if as_json:
        facts = {
            "file": str(report.path),
            "out": str(report.out),
            "was_closed": report.was_closed,
            "lost": report.lost,
            "notes": report.notes,
            "duration_s": round(report.duration_s, 6),
            "samples": report.samples,
            "n_events": report.n_events,
        }
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    screen = console()
    counts = ", ".join(f"{name} {n:,}" for name, n in report.samples.items()) or "no streams"
    screen.print(
        f"{escape(report.out)}: {report.duration_s:.1f} s; {escape(counts)} samples; "
        f"{report.n_events} events",
        soft_wrap=True,
    )
    for line in report.notes:
        screen.print(escape(line), soft_wrap=True)
    if not report.lost:
        screen.print("nothing was lost")
    for line in report.lost:
        screen.print(f"[yellow]lost:[/yellow] {escape(line)}", soft_wrap=True)
