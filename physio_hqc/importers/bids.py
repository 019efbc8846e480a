"""BIDS: physiological recordings and events of one participant and session.

A data set that this package exported comes back as it was: streams with their segments, stored
numbers, events. Of any other one the columns become channels and the trial types markers.
"""

from __future__ import annotations

import contextlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._bids_files import BidsName, Dataset, parse_name
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment
from physio_hqc.session.format import EVENT_KINDS, MODALITIES

_Scale = float | NDArray[np.float64]

_OURS: Final = "PhysioHqc"
_MISSING: Final = "n/a"
_ENDING: Final = ".tsv.gz"
_MAX_SEGMENTS: Final = 1_000_000
_UNITS: Final = {"oC": "°C", "arbitrary": ""}
_NUMPY: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS: Final = ("float32", "float64", "float16")


def read(path: Path) -> Recording:
    """Read the recordings and events of one session of a BIDS data set.

    Parameters
    ----------
    path : Path
        A ``*_physio.tsv.gz`` file, which stands for all of its session, or the folder of a
        participant or session.

    Returns
    -------
    Recording
        Times count from the zero of `StartTime` and `onset`.

    Raises
    ------
    RecordingError
        If it cannot be read, or the folder holds several recordings.
    """
    data = Dataset(path)
    files = _files_of_one(data, path)
    notes: list[str] = []
    channels: list[Channel] = []
    for file in files:
        if file.name.endswith(_ENDING):
            channels += _read_physio(data, file, notes)
    name = _name(files[0])
    key = {entity: label for entity, label in name.entities.items() if entity != "recording"}
    about, markers, readings = _read_events(data, files[0].parent, key, notes)
    return Recording(
        source=path,
        format="bids",
        channels=_in_order([*channels, *readings, *_without_samples(files[0], about)], about),
        markers=tuple(markers),
        t0_unix_ns=_t0(data, files[0], about),
        participant_id=_participant(name, about),
        notes=tuple(dict.fromkeys(notes)),
        condition=_string(about, "condition"),
        dyad_id=_string(about, "dyad_id"),
        role=_string(about, "role"),
        protocol=_string(about, "protocol"),
        session_id=_string(about, "session_id"),
    )


def _name(path: Path) -> BidsName:
    name = parse_name(path.name)
    if name is None:
        raise RecordingError(f"{path}: not named as BIDS says (sub-<label>_..._physio.tsv.gz)")
    return name


def _files_of_one(data: Dataset, path: Path) -> list[Path]:
    """Physio files of one recording, or the events of one; refuse to choose between several."""
    if not path.is_dir():
        data.inside(path)
        _name(path)
    folder = path if path.is_dir() else path.parent
    found = data.files(folder, "physio", _ENDING)
    if not found:
        # Cuff readings and beat intervals are events.
        events = data.files(folder, "events", ".tsv")
        found = [file for file in events if "acq" not in _name(file).entities]
    groups: dict[tuple[Path, frozenset[tuple[str, str]]], list[Path]] = {}
    for file in found:
        entities = _name(file).entities.items()
        key = frozenset(pair for pair in entities if pair[0] != "recording")
        groups.setdefault((file.parent, key), []).append(file)
    if not path.is_dir():
        return next((group for group in groups.values() if path in group), [path])
    if not groups:
        raise RecordingError(f"{path}: no physiological recording (*_physio.tsv.gz) in it")
    if len(groups) > 1:
        names = ", ".join(str(group[0].relative_to(path)) for group in list(groups.values())[:5])
        raise RecordingError(
            f"{path} holds {len(groups)} recordings: import one of them, such as {names}"
        )
    return next(iter(groups.values()))


def _in_order(channels: list[Channel], about: dict[str, Any]) -> tuple[Channel, ...]:
    """Put streams into the order that they had in the session."""
    order = about.get("streams")
    if not isinstance(order, list):
        return tuple(channels)
    place = {str(name): k for k, name in enumerate(order)}
    return tuple(sorted(channels, key=lambda channel: place.get(channel.name, len(place))))


def _without_samples(file: Path, about: dict[str, Any]) -> list[Channel]:
    """Return streams that the session had declared but never filled."""
    told = about.get("without_samples")
    channels = []
    for facts in told if isinstance(told, list) else []:
        nominal = _finite(facts.get("sfreq")) if isinstance(facts, dict) else None
        if nominal is None or nominal <= 0:
            raise RecordingError(f"{file}: what the events' sidecar tells makes no sense")
        names = facts.get("channels")
        shape = (0, len(names)) if isinstance(names, list) and len(names) > 1 else (0, 1)
        stored, scale, offset = _stored(facts, np.zeros(shape))
        segment = Segment(t_start=0.0, samples=stored)
        channels.append(_channel(file, facts, (segment,), scale, offset, nominal, None))
    return channels


# --- recordings --------------------------------------------------------------------------------


def _read_physio(data: Dataset, file: Path, notes: list[str]) -> list[Channel]:
    sidecar = data.sidecar(file)
    columns = sidecar.get("Columns")
    if not (isinstance(columns, list) and columns and all(isinstance(c, str) for c in columns)):
        raise RecordingError(f"{file}: its sidecar names no Columns")
    if len(columns) > 1000 or len(set(columns)) < len(columns):
        raise RecordingError(f"{file}: the Columns of its sidecar make no sense")
    sfreq = _finite(sidecar.get("SamplingFrequency"))
    if sfreq is None or sfreq <= 0:
        raise RecordingError(f"{file}: its sidecar tells no SamplingFrequency in Hz")
    start = _finite(sidecar.get("StartTime", 0.0))
    if start is None:
        raise RecordingError(f"{file}: StartTime in its sidecar is no number of seconds")
    if "StartTime" not in sidecar:
        notes.append(f"{file.name}: no StartTime is told, 0 is taken")
    values, header = data.read_samples(file, columns)
    if header:
        notes.append(f"{file.name}: it has a header, which BIDS does not have there")
    facts = _facts(sidecar)
    if facts:
        return [_restored(file, facts, values, sfreq)]
    return _foreign(file, sidecar, columns, values, start, sfreq)


def _facts(sidecar: dict[str, Any]) -> dict[str, Any]:
    """Return what this package wrote about a stream, if it did."""
    ours = sidecar.get(_OURS)
    facts = ours.get("Stream") if isinstance(ours, dict) else None
    return facts if isinstance(facts, dict) else {}


def _restored(
    file: Path, facts: dict[str, Any], values: NDArray[np.float64], sfreq: float
) -> Channel:
    """Return a stream as the session had it."""
    rows = facts.get("segments")
    if not isinstance(rows, dict):
        raise RecordingError(f"{file}: its sidecar tells no segments")
    row, n, t_start, rate = (
        _list_of(file, rows, name, kind)
        for name, kind in (("row", int), ("n", int), ("t_start", float), ("sfreq", float))
    )
    if not len(row) == len(n) == len(t_start) == len(rate):
        raise RecordingError(f"{file}: the segments of its sidecar make no sense")
    stop = 0
    for first, count in zip(row, n, strict=True):
        if first < stop or count < 0 or first + count > len(values):
            raise RecordingError(f"{file}: its sidecar tells of samples that it does not hold")
        stop = first + count
    kept = [values[a : a + count] for a, count in zip(row, n, strict=True)]
    stored, scale, offset = _stored(facts, np.concatenate(kept) if kept else values[:0])
    ends = np.cumsum(n, dtype=np.int64).tolist()
    segments = tuple(
        Segment(t_start=begin, samples=stored[end - count : end], sfreq=speed)
        for begin, end, count, speed in zip(t_start, ends, n, rate, strict=True)
        if count
    )
    return _channel(file, facts, segments, scale, offset, _nominal(file, facts, sfreq), None)


def _nominal(file: Path, facts: dict[str, Any], sfreq: float) -> float:
    nominal = _finite(facts.get("sfreq"))
    if nominal is None or nominal <= 0 or abs(sfreq / nominal - 1) > 0.5:
        raise RecordingError(f"{file}: the rates of its sidecar contradict each other")
    return nominal


def _channel(
    file: Path,
    facts: dict[str, Any],
    segments: tuple[Segment, ...],
    scale: _Scale,
    offset: _Scale,
    sfreq: float,
    times: NDArray[np.float64] | None,
) -> Channel:
    modality, device, channels = (facts.get(key) for key in ("modality", "device", "channels"))
    if modality not in MODALITIES or not isinstance(channels, list):
        raise RecordingError(f"{file}: what its sidecar tells of the stream makes no sense")
    name = _string(facts, "name") or str(modality)
    several = len(channels) > 1 or channels != [name]
    return Channel(
        name=name,
        units=_string(facts, "units"),
        sfreq=sfreq,
        segments=segments,
        scale=scale,
        offset=offset,
        modality=str(modality),
        components=tuple(map(str, channels)) if several else (),
        times=times,
        device=device if isinstance(device, dict) else {},
        stream=name,
    )


def _stored(
    facts: dict[str, Any], values: NDArray[np.float64]
) -> tuple[NDArray[Any], _Scale, _Scale]:
    """Return the device's own numbers, scale and offset; the physical ones if they are not exact.

    Parameters
    ----------
    values : ndarray, shape (n, C)
    """
    physical = values[:, 0] if values.shape[1] == 1 else values
    dtype, scale, offset = facts.get("dtype"), facts.get("scale"), facts.get("offset")
    as_is: tuple[NDArray[Any], _Scale, _Scale] = (physical, 1.0, 0.0)
    if dtype not in (*_NUMPY, *_FLOATS):
        return as_is
    factor, shift = (_per_channel(number, values.shape[1]) for number in (scale, offset))
    if factor is None or shift is None or not np.all(factor):
        return as_is
    with np.errstate(all="ignore"):
        raw = (physical - shift) / factor
        if dtype in _NUMPY:
            limits = np.iinfo(str(dtype))
            raw = np.rint(raw)
            if (
                not ((raw >= limits.min) & (raw <= limits.max)).all()
                or abs(raw).max(initial=0) > 2.0**53
            ):
                return as_is
        stored = raw.astype(str(dtype))
        again = stored.astype(np.float64) * factor + shift
    return (stored, factor, shift) if np.array_equal(again, physical, equal_nan=True) else as_is


def _per_channel(value: Any, n_channels: int) -> _Scale | None:
    """Return a scale or offset: one number, or one per channel; None where it is neither."""
    if not isinstance(value, list):
        return _finite(value)
    numbers = [_finite(number) for number in value]
    if len(numbers) != n_channels or None in numbers:
        return None
    return np.array(numbers, dtype=np.float64)


def _foreign(
    file: Path,
    sidecar: dict[str, Any],
    columns: list[str],
    values: NDArray[np.float64],
    start: float,
    sfreq: float,
) -> list[Channel]:
    """Return one channel per column of a data set that others wrote."""
    device = {
        key: sidecar[key]
        for key in ("Manufacturer", "ManufacturersModelName", "DeviceSerialNumber")
        if isinstance(sidecar.get(key), str)
    }
    recording = _name(file).entities.get("recording", "")
    channels: list[Channel] = []
    for k, column in enumerate(columns):
        told = sidecar.get(column)
        told = told if isinstance(told, dict) else {}
        units = _string(told, "Units")
        description = _string(told, "Description") or _string(told, "LongName")
        channels.append(
            Channel(
                name=f"{recording} {column}" if recording and recording != column else column,
                units=_UNITS.get(units, units),
                sfreq=sfreq,
                segments=(Segment(t_start=start, samples=np.ascontiguousarray(values[:, k])),),
                modality=_meaning(column, description),
                device={**device, "bids_column": column, "description": description},
            )
        )
    return channels


def _meaning(column: str, description: str) -> str | None:
    """Return what a column of a name of BIDS's own is; None leaves it to name and unit."""
    words = description.lower()
    if column == "respiratory":
        return "resp"
    if column != "cardiac":
        return None
    if any(word in words for word in ("ecg", "ekg", "electrocardio")):
        return "ecg"
    # BIDS defines this column as the pulse.
    return "ppg"


# --- events ------------------------------------------------------------------------------------


def _read_events(
    data: Dataset, folder: Path, key: dict[str, str], notes: list[str]
) -> tuple[dict[str, Any], list[Marker], list[Channel]]:
    """Return what is told of the session, its events, and streams whose samples are events."""
    about: dict[str, Any] = {}
    markers: list[Marker] = []
    readings: list[Channel] = []
    for path in sorted(folder.glob("*_events.tsv")):
        name = parse_name(path.name)
        if name is None or "desc" in name.entities:
            continue
        others = {entity: label for entity, label in name.entities.items() if entity != "acq"}
        sidecar = data.sidecar(data.inside(path))
        if name.entities != key and _facts(sidecar) and others == key:
            readings.append(_readings(data, path, _facts(sidecar)))
        elif name.entities == key:
            ours = sidecar.get(_OURS)
            session = ours.get("Session") if isinstance(ours, dict) else None
            about = session if isinstance(session, dict) else {}
            formats = _formats(ours)
            markers = _markers(data, path, formats, notes)
    return about, markers, readings


def _formats(ours: Any) -> dict[str, str] | None:
    """Formats of the payload's columns; None for events that others wrote."""
    events = ours.get("Events") if isinstance(ours, dict) else None
    formats = events.get("payload") if isinstance(events, dict) else None
    return formats if isinstance(formats, dict) else None


def _readings(data: Dataset, path: Path, facts: dict[str, Any]) -> Channel:
    """Return an irregular stream."""
    header, rows = data.read_table(path)
    columns = facts.get("columns")
    if not isinstance(columns, list) or not {"onset", *map(str, columns)} <= set(header):
        raise RecordingError(f"{path}: its columns are not those of its sidecar")
    try:
        cells = [[_cell(row[header.index(str(c))]) for c in columns] for row in rows]
        times = np.array([float(row[header.index("onset")]) for row in rows], dtype=np.float64)
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error
    if not np.isfinite(times).all():
        raise RecordingError(f"{path}: a reading has no onset")
    values = np.array(cells, dtype=np.float64).reshape(len(rows), len(columns))
    stored, scale, offset = _stored(facts, values)
    segment = Segment(t_start=0.0, samples=stored)
    return _channel(path, facts, (segment,), scale, offset, 0.0, times)


def _cell(text: str) -> float:
    return math.nan if text == _MISSING else float(text)


def _markers(
    data: Dataset, path: Path, formats: dict[str, str] | None, notes: list[str]
) -> list[Marker]:
    header, rows = data.read_table(path)
    if not rows:
        return []
    if not {"onset", "duration"} <= set(header):
        notes.append(f"{path.name}: it has no onset and duration, its events were left out")
        return []
    markers = []
    for line, cells in enumerate(rows, 2):
        row = dict(zip(header, cells, strict=True))
        if row["onset"] == _MISSING:
            notes.append(f"{path.name}: events without an onset were left out")
            continue
        try:
            onset, duration = float(row["onset"]), _cell(row["duration"])
        except ValueError as error:
            raise RecordingError(f"{path}, line {line}: {error}") from error
        if formats is None:
            markers.append(_foreign_marker(row, onset, duration))
            continue
        kind, label, source, payload = _own_event(row, formats)
        if kind not in EVENT_KINDS:
            raise RecordingError(f"{path}, line {line}: {kind[:40]!r} is no kind of event")
        markers.append(Marker(onset, label, kind, duration, payload, source))
    return markers


def _own_event(
    row: dict[str, str], formats: dict[str, str]
) -> tuple[str, str, str, dict[str, Any]]:
    """Return kind, label, source and payload as the session had them."""
    extra: dict[str, Any] = {}
    if row.get("extra", _MISSING) != _MISSING:
        with contextlib.suppress(ValueError, RecursionError):
            told = json.loads(row["extra"])
            extra = told if isinstance(told, dict) else {}
    payload = {
        str(name): _value(row[name], form)
        for name, form in formats.items()
        if row.get(name, _MISSING) != _MISSING
    }
    more = extra.get("payload")
    payload |= more if isinstance(more, dict) else {}
    kind, label, source = (
        _string(extra, name) or ("" if row.get(name, "") == _MISSING else row.get(name, ""))
        for name in ("kind", "label", "source")
    )
    return kind, label, source, payload


def _foreign_marker(row: dict[str, str], onset: float, duration: float) -> Marker:
    """Return an event of a data set that others wrote."""
    label = next(
        (row[name] for name in ("trial_type", "message", "value") if _told(row, name)), "event"
    )
    payload = {
        name: _guessed(cell)
        for name, cell in row.items()
        if name not in ("onset", "duration", "trial_type") and cell not in ("", _MISSING)
    }
    return Marker(
        onset=onset,
        label=label,
        duration=0.0 if math.isnan(duration) else duration,
        payload=payload,
    )


def _told(row: dict[str, str], name: str) -> bool:
    return row.get(name, _MISSING) not in ("", _MISSING)


def _value(cell: str, form: Any) -> Any:
    """Read a cell of a payload back in its format."""
    if form == "boolean":
        return cell == "true"
    return _guessed(cell) if form == "number" else cell


def _guessed(cell: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            value = kind(cell)
            return value if math.isfinite(value) else cell
    return cell


# --- who and when ------------------------------------------------------------------------------


def _participant(name: BidsName, about: dict[str, Any]) -> str:
    """Return the participant's id: the original one where it is told, else the label."""
    if about:
        return _string(about, "participant_id")
    return name.entities.get("sub", "")


def _t0(data: Dataset, file: Path, about: dict[str, Any]) -> int | None:
    """Return the start in ns since 1970: as the session had it, or from the table of scans."""
    if about:
        t0 = about.get("t0_unix_ns")
        return t0 if isinstance(t0, int) and not isinstance(t0, bool) else None
    home = file.parent.parent
    for table in sorted(home.glob("*_scans.tsv")):
        header, rows = data.read_table(table)
        if not {"filename", "acq_time"} <= set(header):
            continue
        for row in rows:
            told = dict(zip(header, row, strict=True))
            if Path(told["filename"]).name == file.name:
                return _unix_ns(told["acq_time"])
    return None


def _unix_ns(text: str) -> int | None:
    with contextlib.suppress(ValueError, OverflowError):
        time = datetime.fromisoformat(text)
        since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(
            1970, 1, 1, tzinfo=UTC
        )
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    return None


# --- values of sidecars ------------------------------------------------------------------------


def _string(facts: dict[str, Any], key: str) -> str:
    value = facts.get(key)
    return value if isinstance(value, str) else ""


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _list_of(file: Path, rows: dict[str, Any], name: str, kind: type) -> list[Any]:
    values = rows.get(name)
    if not isinstance(values, list) or len(values) > _MAX_SEGMENTS:
        raise RecordingError(f"{file}: the segments of its sidecar make no sense")
    numbers = [_finite(value) for value in values]
    if any(number is None or (kind is int and number != int(number)) for number in numbers):
        raise RecordingError(f"{file}: the segments of its sidecar make no sense")
    return [kind(number) for number in numbers if number is not None]
