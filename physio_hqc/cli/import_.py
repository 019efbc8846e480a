"""``physio-hqc import``: any supported recording becomes a session file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physio_hqc.cli._shared import console, escape, table
from physio_hqc.errors import RecordingError

if TYPE_CHECKING:
    from physio_hqc.importers import ImportReport


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="File, folder (Empatica) or WFDB record name.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Session file to write. [default: SOURCE's name, .h5]")
    ] = None,
    channel_map: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="CHANNEL=STREAM",
            help="What a channel is: ecg, bp, eda, rr, resp, acc, temp, ecg_2, ..., or ignore.",
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(help="CSV of phases and windows: onset,duration,kind,label and any others."),
    ] = None,
    participant: Annotated[str, typer.Option(help="Participant's id.")] = "",
    condition: Annotated[str, typer.Option(help="Condition, e.g. support.")] = "",
    dyad: Annotated[str, typer.Option(help="Dyad's id.")] = "",
    role: Annotated[str, typer.Option(help="Role in the dyad.")] = "",
    protocol: Annotated[
        str, typer.Option(help="Protocol that the events follow: a name or a YAML file.")
    ] = "",
    sfreq: Annotated[
        float | None, typer.Option(help="Rate in Hz of a CSV table that states none.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Turn a vendor recording into a session file.

    Reads WFDB, EDF/EDF+/BDF, BrainVision, FIF, AcqKnowledge, XDF (LSL), Empatica E4,
    OpenSignals and CSV/TSV. The format is told from the content. Channels are recognized by name
    and unit; what is not recognized is kept as it is and listed, and **--map** says what it is.

    For example:

        physio-hqc import P01.acq --out P01.h5 --participant P01 --condition support

        physio-hqc import P01.acq --map "EDA - GSR100C=eda" --map "Trigger=ignore"

        physio-hqc import P01.edf --events P01_events.csv --protocol lepore_1993
    """
    from physio_hqc.importers import import_recording

    text = None
    if protocol:
        from physio_hqc.protocol import load_protocol

        text = load_protocol(protocol).to_yaml()
    with console(stderr=True).status(f"reading {escape(source.name)}"):
        report = import_recording(
            source,
            out,
            channel_map=_parse_map(channel_map or []),
            events=events,
            participant_id=participant,
            condition=condition,
            dyad_id=dyad,
            role=role,
            protocol=text,
            sfreq=sfreq,
            overwrite=overwrite,
        )
    _show(report)


def _parse_map(pairs: list[str]) -> dict[str, str]:
    result = {}
    for pair in pairs:
        channel, equals, stream = pair.rpartition("=")
        if not equals or not channel.strip() or not stream.strip():
            raise RecordingError(f'--map {pair!r}: write it as --map "CHANNEL=stream"')
        result[channel.strip()] = stream.strip()
    return result


def _show(report: ImportReport) -> None:
    screen = console()
    rows = table(
        "stream", "from channel", "modality", "unit", "Hz", "samples", right=("Hz", "samples")
    )
    for stream in report.streams:
        rows.add_row(
            stream.name,
            escape(stream.source_channel),
            stream.modality,
            escape(stream.units),
            f"{stream.sfreq:g}" if stream.sfreq else "–",
            str(stream.n_samples),
        )
    screen.print(rows)
    for note in report.notes:
        screen.print(f"note: {escape(note)}", soft_wrap=True)
    if report.unrecognized:
        names = ", ".join(f'"{name}"' for name in report.unrecognized)
        screen.print(
            f"not recognized, kept as modality other: {escape(names)}; "
            f'say what they are with --map "CHANNEL=stream"',
            soft_wrap=True,
        )
    screen.print(f"{report.n_events} events; session file: {escape(report.path)}", soft_wrap=True)
