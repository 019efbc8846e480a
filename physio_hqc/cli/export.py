"""``physio-hqc export``: sessions to BIDS, EDF+, FIF or CSV."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physio_hqc.cli._shared import console, escape, progress_bar
from physio_hqc.errors import OutputError, PhysioError
from physio_hqc.files import output_errors

if TYPE_CHECKING:
    from physio_hqc.exporters import ExportReport


def export(
    files: Annotated[list[Path], typer.Argument(help="Session files.", show_default=False)],
    to: Annotated[str, typer.Option(help="bids, edf, fif or csv.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            help="File (edf, fif), folder (csv) or data set (bids) to write; with several FILES "
            "the folder of all.",
            show_default=False,
        ),
    ],
    derivatives: Annotated[
        Path | None,
        typer.Option(help="Results that 'process' left; with --to bids they become derivatives."),
    ] = None,
    deidentify: Annotated[
        bool,
        typer.Option("--deidentify", help="Replace ids, shift dates, drop free text."),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps which new id is whose; used again where it exists. "
            "[default: OUT's name with _key.csv, beside OUT]"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say what was written as JSON, for programs.")
    ] = False,
) -> None:
    """Write sessions in the formats of other tools.

    **bids** adds each session to a BIDS data set, **edf** makes EDF+ files with annotations,
    **fif** MNE's own files, **csv** a folder of tables. 'physio-hqc import' reads EDF+, BIDS and
    CSV back, with the same samples to the format's resolution and the same events; of FIF it
    reads signals and annotations, not the whole session. One bad session does not stop the
    others; it is named at the end and the exit code is 2.

    **--deidentify** gives every participant a new id, shifts the dates by a random amount per
    participant and drops free text. The key file alone tells who is who: keep it apart from what
    you hand on.

    For example:

        physio-hqc export P01.h5 --to edf --out P01.edf

        physio-hqc export lab/*.h5 --to bids --out dataset --derivatives lab/derivatives

        physio-hqc export lab/*.h5 --to bids --out shared --deidentify --key lab_key.csv
    """
    _check(files, to, deidentify, key)
    # With several files the sessions' names, or their new ids, name what is written.
    with output_errors(out):
        into = to != "bids" and (len(files) > 1 or (to != "csv" and out.is_dir()))
    key_file = _key_file(out, key) if deidentify else None
    if key_file is not None:
        from physio_hqc.exporters.key import refuse_key_inside

        refuse_key_inside(key_file, out)
    done: list[tuple[Path, ExportReport]] = []
    failures: list[PhysioError] = []
    with _opened(key_file) as opened, progress_bar() as progress:
        task = progress.add_task("exporting", total=len(files))
        for path in files:
            try:
                report = _export_one(path, out, to, derivatives, opened, overwrite, into)
                done.append((path, report))
            except PhysioError as error:
                failures.append(error)
            progress.advance(task)
    _show(done, failures, key_file, as_json=as_json)
    if failures:
        for failure in failures[:-1]:
            typer.echo(f"error: {failure}", err=True)
        raise failures[-1]


def _export_one(
    path: Path,
    out: Path,
    to: str,
    derivatives: Path | None,
    key: Any,
    overwrite: bool,
    into: bool,
) -> ExportReport:
    from physio_hqc.exporters import export_session

    return export_session(
        path,
        out,
        to=to,
        derivatives=derivatives,
        deidentify=key,
        overwrite=overwrite,
        into=into,
    )


def _check(files: list[Path], to: str, deidentify: bool, key: Path | None) -> None:
    """Refuse what cannot be meant, before anything is written."""
    from physio_hqc.exporters import FORMATS

    if to not in FORMATS:
        raise OutputError(f"--to {to}: no such format; use one of {', '.join(FORMATS)}")
    if key is not None and not deidentify:
        raise OutputError("--key belongs to --deidentify: add that, or leave the key out")
    seen: dict[str, Path] = {}
    for path in files:
        if path.stem in seen and to != "bids" and not deidentify:
            raise OutputError(
                f"{seen[path.stem]} and {path} would both become {path.stem!r}: rename one"
            )
        seen[path.stem] = path


def _key_file(out: Path, key: Path | None) -> Path:
    if key is not None:
        return key
    whole = out.resolve()
    return out.parent / f"{whole.stem}_key.csv" if out.name else whole.parent / "export_key.csv"


def _opened(key_file: Path | None) -> contextlib.AbstractContextManager[Any]:
    if key_file is None:
        return contextlib.nullcontext()
    from physio_hqc.exporters.key import open_key

    return open_key(key_file)


def _show(
    done: list[tuple[Path, ExportReport]],
    failures: list[PhysioError],
    key_file: Path | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        told = {
            "exported": [
                {
                    "session": str(path),
                    "paths": [str(written) for written in report.paths],
                    "notices": list(report.notices),
                }
                for path, report in done
            ],
            "failed": [str(error) for error in failures],
            "key": None if key_file is None else str(key_file),
        }
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    screen = console()
    for path, report in done:
        for notice in report.notices:
            screen.print(f"notice: {escape(path.name)}: {escape(notice)}", soft_wrap=True)
        screen.print(f"{escape(path)} -> {escape(report.paths[0])}", soft_wrap=True)
    if key_file is not None and done:
        screen.print(f"key: {escape(key_file)} tells who is who; do not hand it on", soft_wrap=True)
