"""Events typed by hand: a table of onset, duration, kind, label and any other columns."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, Final

from physio_hqc.errors import RecordingError
from physio_hqc.importers._limits import MAX_TIME_S
from physio_hqc.importers.recording import Marker
from physio_hqc.session.format import EVENT_DTYPE, EVENT_KINDS

_REQUIRED: Final = ("onset", "duration", "kind", "label")
_NOTHING: Final = ("", "n/a", "na", "nan")
_LASTING: Final = ("phase", "interaction")
_MAX_BYTES: Final = 20_000_000
_MAX_COLUMNS: Final = 1000
_MAX_EVENTS: Final = 100_000
_EXACT: Final = 2**53


def read_events(path: str | Path) -> tuple[Marker, ...]:
    r"""Read events from a CSV file (comma, semicolon or tab; UTF-8).

    Parameters
    ----------
    path : path-like
        Columns ``onset`` (seconds since the start of the recording), ``duration`` (seconds; may be
        empty for a marker, rating or note), ``kind`` (phase, interaction, marker, rating, note,
        system), ``label``; every other column goes into the event's payload.

    Returns
    -------
    tuple of Marker
        In ascending onset.

    Raises
    ------
    RecordingError
        Naming file, line and column of the first thing that is wrong.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> table = pathlib.Path(tempfile.mkdtemp()) / "events.csv"
    >>> _ = table.write_text("onset,duration,kind,label,stress\n60,360,phase,speech,7\n")
    >>> [event] = read_events(table)
    >>> event.onset, event.duration, event.kind, event.label, event.payload
    (60.0, 360.0, 'phase', 'speech', {'stress': 7})
    """
    source = Path(path)
    reader = csv.reader(io.StringIO(_read_text(source), newline=""), delimiter=_delimiter(source))
    try:
        read = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise RecordingError(f"{source}, line {reader.line_num}: {error}") from error
    rows = [(line, cells) for line, cells in read if any(cells)]
    if not rows:
        raise RecordingError(f"{source}: no events in it, not even a header line")
    columns = _columns(source, rows[0][1])
    if len(rows) > _MAX_EVENTS + 1:
        raise RecordingError(
            f"{source}: {len(rows) - 1} events; at most {_MAX_EVENTS} can be typed by hand"
        )
    events = [_event(source, line, columns, cells) for line, cells in rows[1:]]
    return tuple(sorted(events, key=lambda event: event.onset))


def _read_text(source: Path) -> str:
    try:
        if source.exists() and not source.is_file():
            raise RecordingError(f"{source}: not a file; give the path of a table of events")
        if source.stat().st_size > _MAX_BYTES:
            raise RecordingError(f"{source}: too large for a table of events (20 MB at most)")
        text = source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{source}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{source}: not UTF-8 text (save it as CSV UTF-8)") from error
    except ValueError as error:  # a name that no file can have
        raise RecordingError(f"{str(source)!r}: {error}") from error
    if "\x00" in text:
        raise RecordingError(f"{source}: not a text file")
    return text


def _delimiter(source: Path) -> str:
    """Return the delimiter that stands most often in the header line."""
    header = _read_text(source).lstrip().split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _columns(source: Path, header: list[str]) -> list[str]:
    if len(header) > _MAX_COLUMNS:
        raise RecordingError(f"{source}, line 1: {len(header)} columns; at most {_MAX_COLUMNS}")
    names = [cell.lower() if cell.lower() in _REQUIRED else cell for cell in header]
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise RecordingError(
            f"{source}, line 1: column {', '.join(missing)} is missing "
            f"(needed: {', '.join(_REQUIRED)})"
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise RecordingError(f"{source}, line 1: column {', '.join(twice)} appears twice")
    return names


def _event(source: Path, line: int, columns: list[str], cells: list[str]) -> Marker:
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise RecordingError(
            f"{source}, line {line}: {len(cells)} cells, but the header has {len(columns)} columns"
        )
    values = dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False))
    kind = values["kind"].lower()
    if kind not in EVENT_KINDS:
        raise RecordingError(
            f"{source}, line {line}, column kind: {values['kind'][:40]!r} is none of "
            f"{', '.join(EVENT_KINDS)}"
        )
    if not values["label"]:
        raise RecordingError(f"{source}, line {line}, column label: it is empty")
    onset = _seconds(source, line, "onset", values["onset"])
    if values["duration"].lower() in _NOTHING and kind not in _LASTING:
        duration = 0.0
    else:
        duration = _seconds(source, line, "duration", values["duration"])
    payload = {
        name: _number_or_text(cell)
        for name, cell in values.items()
        if name and name not in _REQUIRED and cell.lower() not in _NOTHING
    }
    if len(json.dumps(payload, ensure_ascii=False).encode()) > EVENT_DTYPE["payload"].itemsize:
        raise RecordingError(f"{source}, line {line}: more than 4096 bytes of other columns")
    return Marker(onset, values["label"], kind=kind, duration=duration, payload=payload)


def _seconds(source: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_TIME_S:
        what = "is empty" if not text else f"{text[:40]!r} is no number of seconds from 0 on"
        raise RecordingError(f"{source}, line {line}, column {column}: {what}")
    return value


def _number_or_text(cell: str) -> Any:
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        # A longer number would lose digits: it is an identifier, not a measure.
        return value if abs(value) <= _EXACT or (kind is float and math.isfinite(value)) else cell
    return cell
