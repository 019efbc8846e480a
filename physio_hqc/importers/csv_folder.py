"""The folder of tables that ``physio-hqc export --to csv`` writes."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from physio_hqc.errors import RecordingError
from physio_hqc.importers._edf_companion import (
    Model,
    SessionTold,
    StreamTold,
    checked,
    told_channel,
)
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment
from physio_hqc.session.format import EVENT_KINDS, MAX_STREAMS

FORMAT: Final = "physio-hqc/csv"
VERSION: Final = 1
SESSION: Final = "session.json"
EVENTS: Final = "events.csv"
_MOST_BYTES: Final = 100_000_000
_COLUMNS: Final = ["onset", "duration", "kind", "label", "source", "payload"]


class _Told(Model):
    """What session.json tells."""

    format: Literal["physio-hqc/csv"]
    version: Literal[1]
    session: SessionTold
    streams: Annotated[list[StreamTold], Field(max_length=MAX_STREAMS)]


def read(path: Path) -> Recording:
    """Read a folder of tables back, as the session that it was.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        If a table is missing, or something in it makes no sense.
    """
    told = _told(path)
    channels = tuple(_channel(path, stream) for stream in told.streams)
    if len({stream.name.lower() for stream in told.streams}) < len(told.streams):
        raise RecordingError(f"{path / SESSION}: two streams have one name")
    return Recording(
        source=path,
        format="csv_folder",
        channels=channels,
        markers=_events(path / EVENTS),
        **told.session.model_dump(),
    )


def _told(path: Path) -> _Told:
    file = path / SESSION
    if file.stat().st_size > _MOST_BYTES:
        raise RecordingError(f"{file} is too large")
    try:
        return _Told.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its beginning"
        raise RecordingError(f"{file} makes no sense at {where}: {first['msg']}") from error


def _channel(path: Path, stream: StreamTold) -> Channel:
    file = path / f"{stream.name}.csv"
    if not file.is_file():
        raise RecordingError(f"{file} is missing: the folder is not whole")
    table = pd.read_csv(file, dtype=np.float64, float_precision="round_trip")
    if table.shape[1] != 1 + len(stream.channels):
        raise RecordingError(f"{file} has {table.shape[1]} columns, not {1 + len(stream.channels)}")
    checked(path, stream, in_table=len(table))
    samples = _stored(file, stream, table.iloc[:, 1:].to_numpy())
    if not stream.sfreq:
        times = table.iloc[:, 0].to_numpy()
        return told_channel(stream, (Segment(0.0, samples),) if len(samples) else (), times)
    bounds = np.cumsum([0, *(n for n, *_ in stream.segments)]).tolist()
    return told_channel(
        stream,
        tuple(
            Segment(t_start, samples[a : a + n], sfreq)
            for a, (n, t_start, sfreq) in zip(bounds[:-1], stream.segments, strict=True)
        ),
    )


def _stored(file: Path, stream: StreamTold, physical: NDArray[np.float64]) -> NDArray[Any]:
    """Come from physical values back to stored ones."""
    scale, offset = np.asarray(stream.scale), np.asarray(stream.offset)
    with np.errstate(all="ignore"):
        values = (physical - offset) / np.where(scale == 0, 1.0, scale)
    dtype = np.dtype(stream.dtype)
    if dtype.kind in "iu":
        values = np.rint(values)
        limits = np.iinfo(dtype)
        if not (np.isfinite(values).all() and limits.min <= values.min(initial=0)) or (
            values.max(initial=0) > limits.max
        ):
            raise RecordingError(f"{file} holds values that are no {stream.dtype}")
    with np.errstate(all="ignore"):
        result: NDArray[Any] = values.astype(dtype)
    return result[:, 0] if result.shape[1] == 1 else result


def _events(file: Path) -> tuple[Marker, ...]:
    if not file.is_file():
        raise RecordingError(f"{file} is missing: the folder is not whole")
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        if next(reader, None) != _COLUMNS:
            raise RecordingError(f"{file}, line 1: the columns must be {','.join(_COLUMNS)}")
        return tuple(_event(file, reader.line_num, row) for row in reader if row)


def _event(file: Path, line: int, row: list[str]) -> Marker:
    try:
        onset, duration, kind, label, source, payload = row
        marker = Marker(
            float(onset),
            label,
            kind=kind,
            duration=float(duration) if duration else math.nan,
            payload=json.loads(payload) if payload else {},
            source=source,
        )
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{file}, line {line}: {error}") from error
    if kind not in EVENT_KINDS or not isinstance(marker.payload, dict):
        raise RecordingError(f"{file}, line {line}: no event of a kind that is known")
    return marker
