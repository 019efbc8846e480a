"""``physio-hqc inspect``: what a session file holds."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from physio_hqc.cli._shared import console, escape, table

_MANY = 40
_MUCH = 0.5


def inspect(
    file: Annotated[Path, typer.Argument(help="Session file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON.")] = False,
) -> None:
    """Show streams, rates, gaps, clock drift, events and quality at a glance.

    FILE is a session file, as import, record and simulate make them; also one that is being
    recorded. Nothing is written. Look here before **process**: a stream that is missing or has
    gaps, and phases without events, are seen at once.

    For example:

        physio-hqc inspect sample_recordings/support.h5

        physio-hqc inspect P01.h5 --json
    """
    from physio_hqc.pipeline.glance import quality_at_a_glance
    from physio_hqc.session import open_session, summarize

    with open_session(file) as session:
        facts = summarize(session)
        quality = quality_at_a_glance(session)
    for stream in facts["streams"]:
        stream["signal_quality"] = quality.get(stream["name"])
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    _show(facts)


def _show(facts: dict[str, Any]) -> None:
    screen = console()
    who = facts["participant_id"] or "unknown participant"
    condition = f", condition {facts['condition']}" if facts["condition"] else ""
    screen.print(
        f"[bold]{escape(facts['name'])}[/bold]: {escape(who)}{escape(condition)}; "
        f"{_clock(facts['duration_s'])}, {_began(facts)}; "
        f"{escape(facts['software'])}",
        soft_wrap=True,
    )
    if not facts["closed"]:
        state = (
            "not closed: it is being recorded"
            if facts["recording"]
            else "not closed: its recorder died; 'physio-hqc recover' makes a whole file of it"
        )
        screen.print(f"[yellow]{state}[/yellow]", soft_wrap=True)
    screen.print(_streams(facts["streams"]))
    for stream in facts["streams"]:
        for line in _remarks(stream):
            screen.print(f"{stream['name']}: {line}", soft_wrap=True)
    for note in facts["notes"]:
        screen.print(f"import: {escape(note)}", soft_wrap=True)
    happened = _system(facts["events"])
    if happened:
        screen.print(f"recorder: {escape(happened)}", soft_wrap=True)
    if len(facts["events"]) > sum(event["kind"] == "system" for event in facts["events"]):
        screen.print(_events(facts["events"]))
    else:
        screen.print("no events: 'physio-hqc import --events' adds phases and windows")


def _streams(streams: list[dict[str, Any]]) -> Any:
    right = ("rate", "samples", "from – to", "gaps", "range", "quality")
    rows = table("stream", "unit", *right, right=right)
    for stream in streams:
        regular = bool(stream["sfreq"])
        name = stream["name"]
        is_plain = name.partition("_")[0] == stream["modality"]
        rows.add_row(
            name if is_plain else f"{name} ({stream['modality']})",
            escape(_unit(stream["units"])),
            f"{stream['sfreq']:g} Hz" if regular else "–",
            str(stream["n_samples"]),
            _span(stream),
            f"{stream['n_gaps']} ({stream['gap_s']:.1f} s)"
            if regular and stream["n_gaps"]
            else "–",
            _range(stream["range"]),
            _quality(stream["signal_quality"]),
        )
    return rows


def _remarks(stream: dict[str, Any]) -> list[str]:
    lines = []
    judged = stream["signal_quality"]
    if judged and judged["reason"]:
        lines.append(judged["reason"])
    elif stream["missing"]:
        lines.append(f"{stream['missing']:.1%} of the samples are missing")
    if not stream["sfreq"]:
        return lines
    if (stream["constant"] or 0) >= _MUCH:
        lines.append(f"{stream['constant']:.0%} of the samples repeat the one before")
    measured = stream["measured_sfreq"]
    if measured and abs(measured / stream["sfreq"] - 1) > 1e-5:
        lines.append(f"measured rate {measured:.3f} Hz")
    if stream["drift_ppm"] is not None and abs(stream["drift_ppm"]) >= 1:
        lines.append(f"device clock drifts {stream['drift_ppm']:+.0f} ppm against the host's")
    for key, what in (
        ("n_clock_resets", "restarts of the device's clock"),
        ("n_reordered", "packets arrived out of order and were put back"),
        ("n_duplicates", "packets were repeated and left out"),
        ("n_saturated", "packets were saturated"),
    ):
        if stream[key]:
            lines.append(f"{stream[key]} {what}")
    return lines


def _system(events: list[dict[str, Any]]) -> str:
    """System events in one line: what happened, and how often."""
    counts = Counter(event["label"] for event in events if event["kind"] == "system")
    return ", ".join(f"{label} {n}" if n > 1 else str(label) for label, n in counts.items())


def _events(events: list[dict[str, Any]]) -> Any:
    events = [event for event in events if event["kind"] != "system"]
    rows = table("onset", "duration", "kind", "label", right=("onset", "duration"))
    for event in events[:_MANY]:
        duration = event["duration_s"]
        length = "open" if duration is None else f"{duration:.1f} s" if duration else ""
        rows.add_row(
            f"{event['onset_s']:.1f} s", length, escape(event["kind"]), escape(event["label"])
        )
    if len(events) > _MANY:
        rows.add_row("…", "", "", f"{len(events) - _MANY} more (see --json)")
    return rows


def _unit(units: str) -> str:
    distinct = list(dict.fromkeys(part.strip() for part in units.split(",")))
    return ", ".join(distinct)


def _range(ranges: list[list[float | None]]) -> str:
    if len(ranges) != 1 or ranges[0][0] is None or ranges[0][1] is None:
        return "–"
    low, high = ranges[0]
    return f"{low:.3g} … {high:.3g}"


def _quality(judged: dict[str, Any] | None) -> str:
    if judged is None or judged["quality"] is None:
        return "–"
    return f"{judged['quality']:.2f}"


def _span(stream: dict[str, Any]) -> str:
    start, end = stream.get("t_start_s"), stream.get("t_end_s")
    return "–" if start is None or end is None else f"{start:.1f} – {end:.1f} s"


def _began(facts: dict[str, Any]) -> str:
    if facts["t0_unix_ns"] is None:
        return "start time not known"
    moment = datetime.fromtimestamp(facts["t0_unix_ns"] // 10**9, tz=UTC)
    return f"from {moment:%Y-%m-%d %H:%M:%S} UTC"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
