"""Lab Streaming Layer recordings (XDF): streams on one clock, marker streams as markers.

pyxdf reads the chunks and applies the clock offsets of each stream. Before that every chunk is
checked against the file (`_sound_chunks`), because lengths and counts in it are not to be trusted;
after it the sample times are laid on a line here, per gap-free stretch, because pyxdf only splits
where 500 samples are missing, which at 4 Hz hides a hole of two minutes.
"""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import math
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._limits import unpacked_gzip
from physio_hqc.importers.channels import session_conversion
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

_ITEM_BYTES = {
    "double64": 8,
    "float32": 4,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "string": 0,
}
_BOUNDARY = bytes.fromhex("43A546DCCBF5410FB30ED5467383CBE4")
_MAX_CHANNELS = 10_000
_MAX_RATE = 1e6
_MAX_STREAMS = 300
_MAX_RESETS = 300
_RESET_S = 1.0
_MAX_XML_DEPTH = 64
_MAX_COLUMNS = 10_000
_MAX_JUMP_WORK = 20_000_000
_MAX_LABEL = 400
_MAX_SPAN_S = 10 * 365.25 * 86400

_GAP_S = 1.0
_GAP_SAMPLES = 4
_SMALL_GAP_S = 0.25
_SMALL_GAP_SAMPLES = 3
_AROUND_S = 5.0
_OWN_SLOPE_S = 30.0
_RATE_ERROR = 0.04
"""A stream that is further from its nominal rate than this has the delivered rate as its own."""

_MARKER_TYPES = {"marker", "markers", "event", "events", "stringmarker", "trigger", "triggers"}
_MODALITIES = {
    "ecg": "ecg",
    "ekg": "ecg",
    "eda": "eda",
    "gsr": "eda",
    "ppg": "ppg",
    "bvp": "ppg",
    "resp": "resp",
    "respiration": "resp",
    "acc": "acc",
    "accelerometer": "acc",
    "rr": "rr",
}
_PYXDF_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


def sniff(path: Path) -> bool:
    """Tell whether a file starts like XDF (plain or gzipped); never raises.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    bool
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if head[:2] == b"\x1f\x8b":
                file.seek(0)
                head = gzip.GzipFile(fileobj=file).read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return head == b"XDF:"


def read(path: Path) -> Recording:
    """Read an XDF file.

    Clock offsets are applied to each stream, clock resets honored. Regular streams are put on an
    even time base per gap-free stretch, with the rate that was really delivered; a stream without
    offsets stays on its own clock, which a note says. Text streams, and irregular number streams
    of a marker type, become markers; other streams of nominal rate 0 become irregular channels.

    Parameters
    ----------
    path : Path
        The file (.xdf, or .xdfz compressed with gzip).

    Returns
    -------
    Recording
        Second 0 is the earliest time stamp of any stream. One channel per stream channel, but the
        axes of an acceleration stream stay together.

    Raises
    ------
    RecordingError
        Not an XDF file, no stream left in it, absurd header values, unusable time stamps.

    Examples
    --------
    >>> from pathlib import Path
    >>> from physio_hqc.importers.xdf import read
    >>> read(Path("no_such_file.xdf"))
    Traceback (most recent call last):
    ...
    physio_hqc.errors.RecordingError: no_such_file.xdf: no such file; give the path of an XDF file
    """
    if not path.is_file():
        raise RecordingError(f"{path}: no such file; give the path of an XDF file")
    sound = _sound_chunks(path, _content(path))
    loaded, header, said = _load(path, sound.data)
    notes = [*sound.notes, *said]
    found = (_stream(path, raw, notes) for raw in loaded)
    streams = [stream for stream in found if stream is not None]
    if not streams:
        raise RecordingError(f"{path}: no stream holds any sample")
    parts = [_parts(stream, notes) for stream in streams]
    streams = [_at_its_rate(stream, own) for stream, own in zip(streams, parts, strict=True)]
    zero = min(pieces[0].start for pieces in parts)
    _check_span(path, streams, zero)
    notes.append(f"second 0 is {zero:.6f} s on the LSL clock of the recorder")
    channels: list[Channel] = []
    markers: list[Marker] = []
    for stream, pieces in zip(streams, parts, strict=True):
        if stream.is_marker:
            markers += _markers(stream, zero)
        else:
            channels += _channels(stream, pieces, zero)
    return Recording(
        source=path,
        format="xdf",
        channels=_unique_names(channels),
        markers=tuple(sorted(markers, key=lambda marker: marker.onset)),
        t0_unix_ns=_wall_clock(header, notes),
        notes=tuple(dict.fromkeys(notes)),
    )


# ---- chunks: only what is whole and consistent reaches the parser --------------------------------


@dataclass
class _Format:
    """What the size of a stream's samples follows from."""

    channels: int
    item_bytes: int


@dataclass
class _Sound:
    """The sound part of a file, and what was wrong with the rest."""

    data: bytes
    notes: list[str]


@dataclass
class _Scan:
    """State of one pass over the chunks."""

    path: Path
    data: bytes
    formats: dict[int, _Format] = field(default_factory=dict)
    footers: set[int] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    clocks: dict[int, tuple[float, float]] = field(default_factory=dict)
    resets: int = 0
    header_seen: bool = False
    dropped: list[str] = field(default_factory=list)


class _DamagedError(Exception):
    """One chunk makes no sense; the text says why."""


def _content(path: Path) -> bytes:
    """Bytes of the file, unpacked within limits where it is gzipped."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = unpacked_gzip(data, str(path))
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: cannot be read ({error})") from error
    if data[:4] != b"XDF:":
        raise RecordingError(f"{path}: not an XDF file (it does not start with 'XDF:')")
    return data


def _sound_chunks(path: Path, data: bytes) -> _Sound:
    """Keep the chunks whose lengths and counts agree with the file; say what was dropped."""
    scan = _Scan(path, data)
    kept: list[tuple[int, int]] = []
    notes: list[str] = []
    position = 4
    while position < len(data):
        try:
            start, end = _chunk_span(data, position)
        except _DamagedError as error:
            found = data.find(_BOUNDARY, position)
            resume = found + len(_BOUNDARY) if found >= 0 else len(data)
            where = "the end is missing" if found < 0 else f"skipped to byte {resume}"
            notes.append(f"damaged at byte {position} ({error}): {where}")
            position = resume
            continue
        try:
            _check_chunk(scan, start, end)
            kept.append((position, end))
        except _DamagedError as error:
            scan.dropped.append(str(error))
        position = end
    notes += [f"chunk left out: {reason}" for reason in dict.fromkeys(scan.dropped)]
    if not scan.formats:
        raise RecordingError(f"{path}: no readable stream header; the file is cut short or damaged")
    unfinished = [name for key, name in scan.names.items() if key not in scan.footers]
    if unfinished:
        notes.append(
            "no footer for " + ", ".join(unfinished) + ": the recording was not closed properly"
        )
    whole = sum(end - start for start, end in kept) == len(data) - 4
    sound = data if whole else b"XDF:" + b"".join(data[start:end] for start, end in kept)
    return _Sound(sound, notes)


def _varlen(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Read a variable-length integer; return it and the position after it."""
    size = data[position] if position < end else 0
    if size not in (1, 4, 8) or position + 1 + size > end:
        raise _DamagedError("no valid length")
    return int.from_bytes(data[position + 1 : position + 1 + size], "little"), position + 1 + size


def _chunk_span(data: bytes, position: int) -> tuple[int, int]:
    """First byte after the length, and first byte after the chunk."""
    length, start = _varlen(data, position, len(data))
    if length < 2:
        raise _DamagedError("a chunk without a tag")
    if start + length > len(data):
        raise _DamagedError("the last chunk is cut short")
    return start, start + length


def _check_chunk(scan: _Scan, start: int, end: int) -> None:
    """Check one chunk by its tag."""
    (tag,) = struct.unpack_from("<H", scan.data, start)
    body = start + 2
    if tag == 1:
        if scan.header_seen:
            raise _DamagedError("a second file header")
        _xml(scan.path, scan.data[body:end], "file header")
        scan.header_seen = True
        return
    if tag not in (2, 3, 4, 6):
        return
    if end - body < 4:
        raise _DamagedError("a chunk without its stream number")
    (stream,) = struct.unpack_from("<I", scan.data, body)
    body += 4
    if tag == 2:
        _check_stream_header(scan, stream, scan.data[body:end])
        return
    if stream not in scan.formats:
        raise _DamagedError(f"stream {stream} has no header")
    if tag == 3:
        _check_samples(scan, stream, body, end)
    elif tag == 4:
        _check_offset(scan, scan.data[body:end], stream)
    else:
        root = _xml(scan.path, scan.data[body:end], f"footer of stream {stream}")
        count = (root.findtext("sample_count") or "0").strip()
        if len(root) == 0 or not count.isascii() or not count.isdigit():
            raise _DamagedError(f"footer of stream {stream}")
        scan.footers.add(stream)


def _xml(path: Path, text: bytes, what: str) -> ElementTree.Element:
    """Parse a small XML document that may not nest deeply or define entities."""
    if b"\x00" in text:  # other encodings, in which a definition would not be seen
        raise _DamagedError(f"{what} is not UTF-8")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise RecordingError(f"{path}: the {what} defines XML entities; such files are refused")
    source = io.BytesIO(text.decode("utf-8", "replace").encode())
    depth = 0
    root: ElementTree.Element | None = None
    try:
        for event, element in ElementTree.iterparse(source, events=("start", "end")):
            depth += 1 if event == "start" else -1
            root = element
            if depth > _MAX_XML_DEPTH:
                raise RecordingError(f"{path}: the {what} nests too deeply; such files are refused")
    except ElementTree.ParseError:
        raise _DamagedError(f"{what} is not readable") from None
    if root is None:
        raise _DamagedError(f"{what} is empty")
    return root


def _check_stream_header(scan: _Scan, stream: int, text: bytes) -> None:
    """Take the format of a stream from its header, refusing absurd values."""
    root = _xml(scan.path, text, f"header of stream {stream}")
    if stream in scan.formats:
        raise _DamagedError(f"a second header of stream {stream}")
    name = (root.findtext("name") or "").strip() or f"stream {stream}"
    kind = (root.findtext("channel_format") or "").strip()
    where = f"{scan.path}: stream '{name}'"
    try:
        channels = int(root.findtext("channel_count") or "")
        rate = float(root.findtext("nominal_srate") or "")
    except ValueError:
        raise RecordingError(f"{where} states no channel count or rate; is it damaged?") from None
    if root.tag != "info" or root.find("name") is None or kind not in _ITEM_BYTES:
        raise RecordingError(f"{where} has sample format '{kind}', which XDF does not know")
    if not 1 <= channels <= _MAX_CHANNELS:
        raise RecordingError(f"{where} states {channels} channels; at most {_MAX_CHANNELS} can be")
    if not 0 <= rate <= _MAX_RATE:
        raise RecordingError(f"{where} states a rate of {rate} Hz; 0 to {_MAX_RATE:g} can be")
    if sum(form.channels for form in scan.formats.values()) + channels > _MAX_COLUMNS:
        raise RecordingError(f"{scan.path}: more than {_MAX_COLUMNS} channels in all streams")
    if len(scan.formats) >= _MAX_STREAMS:
        raise RecordingError(f"{scan.path}: more than {_MAX_STREAMS} streams")
    scan.formats[stream] = _Format(channels, _ITEM_BYTES[kind])
    scan.names[stream] = name


def _check_offset(scan: _Scan, body: bytes, stream: int) -> None:
    """Check one clock offset; pyxdf fits a line to every stretch between two resets."""
    if len(body) != 16 or not all(map(math.isfinite, struct.unpack("<dd", body))):
        raise _DamagedError(f"clock offset of stream {stream}")
    time, value = struct.unpack("<dd", body)
    before = scan.clocks.get(stream, (time, value))
    scan.clocks[stream] = (time, value)
    scan.resets += time < before[0] or abs(value - before[1]) > _RESET_S
    if scan.resets > _MAX_RESETS:
        raise RecordingError(f"{scan.path}: its clocks jump more than {_MAX_RESETS} times")


def _check_samples(scan: _Scan, stream: int, start: int, end: int) -> None:
    """Check that a chunk holds exactly the samples that it announces."""
    data, form = scan.data, scan.formats[stream]
    count, position = _varlen(data, start, end)
    size = form.channels * form.item_bytes
    if count * (1 + (size or 2 * form.channels)) > end - position:
        raise _DamagedError(f"samples of '{scan.names[stream]}' announce more than they hold")
    if size:
        finish = _numbers_end(data, position, end, count, size)
    else:
        finish = _texts_end(data, position, end, count, form.channels)
    if finish != end:
        raise _DamagedError(f"samples of '{scan.names[stream]}' do not add up")


def _numbers_end(data: bytes, position: int, end: int, count: int, size: int) -> int:
    """Position after `count` numeric samples, each with a stamp of 0 or 8 bytes."""
    for first, rest in ((9, 9), (9, 1), (1, 1)):
        # The usual chunks: every sample stamped, only the first, or none.
        if count and position + first + size + (count - 1) * (rest + size) == end:
            marks = np.frombuffer(
                data, np.uint8, end - position - first - size, position + first + size
            )
            marks = marks[:: rest + size]
            if (data[position] == 0) == (first == 1) and np.all((marks == 0) == (rest == 1)):
                return end
    for _ in range(count):
        if position >= end:
            return -1
        position += size + (1 if data[position] == 0 else 9)
    return position


def _texts_end(data: bytes, position: int, end: int, count: int, channels: int) -> int:
    """Position after `count` text samples."""
    for _ in range(count):
        if position >= end:
            return -1
        position += 1 if data[position] == 0 else 9
        for _ in range(channels):
            length, position = _varlen(data, position, end)
            position += length
    return position


# ---- pyxdf ---------------------------------------------------------------------------------------


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what pyxdf would log, and keep it off the screen."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        text = " ".join(record.getMessage().split())
        if record.levelno >= logging.WARNING and "clock-segments differ" not in text:
            said.append(text)
        return False

    logger = logging.getLogger("pyxdf.pyxdf")
    logger.addFilter(keep)
    try:
        yield said
    finally:
        logger.removeFilter(keep)


def _load(path: Path, data: bytes) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """Let pyxdf read the chunks and apply the clock offsets; times are not yet dejittered."""
    import pyxdf

    with _listening() as said:
        try:
            with np.errstate(all="ignore"):
                streams, header = pyxdf.load_xdf(
                    io.BytesIO(data), synchronize_clocks=True, dejitter_timestamps=False
                )
        except _PYXDF_ERRORS as error:
            detail = " ".join(str(error).split())
            raise RecordingError(f"{path}: damaged XDF file ({detail})") from error
    return streams, header or {}, said


# ---- streams -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stream:
    """One stream as pyxdf read it."""

    name: str
    kind: str
    sfreq: float
    is_text: bool
    stamps: NDArray[np.float64]
    values: Any
    clock_segments: tuple[tuple[int, int], ...]
    labels: tuple[dict[str, str], ...]
    device: dict[str, Any]

    @property
    def is_marker(self) -> bool:
        """Text, or irregular numbers of a marker type."""
        return self.is_text or (self.sfreq == 0 and self.kind.lower() in _MARKER_TYPES)


def _stream(path: Path, raw: dict[str, Any], notes: list[str]) -> _Stream | None:
    """One stream; None where it holds nothing."""
    info = raw["info"]
    name = _text(info, "name") or f"stream {info['stream_id']}"
    stamps = np.asarray(raw["time_stamps"], dtype=np.float64)
    if stamps.size == 0:
        notes.append(f"stream '{name}' is empty")
        return None
    if not np.isfinite(stamps).all() or np.abs(stamps).max() > 1e12:
        raise RecordingError(f"{path}: stream '{name}' has time stamps that are no times; damaged?")
    offsets = raw["clock_values"]
    if not offsets:
        notes.append(f"stream '{name}' has no clock offsets and stays on its own clock")
    resets = len(info["clock_segments"]) - 1
    if resets > 0:
        notes.append(f"stream '{name}': the clock was reset {resets} times while recording")
    device: dict[str, Any] = {key: _text(info, key) for key in ("type", "source_id", "hostname")}
    device["clock_offsets"] = len(offsets)
    return _Stream(
        name=name,
        kind=_text(info, "type"),
        sfreq=0.0 if _drops_samples(info) else float(_text(info, "nominal_srate")),
        is_text=_text(info, "channel_format") == "string",
        stamps=stamps,
        values=raw["time_series"],
        clock_segments=tuple((int(a), int(b)) for a, b in info["clock_segments"]),
        labels=_labels(info, int(_text(info, "channel_count"))),
        device={key: value for key, value in device.items() if value not in ("", None)},
    )


def _child(node: Any, key: str) -> Any:
    """First entry `key` of a node of pyxdf's XML dictionaries, or None."""
    entries = node.get(key) if isinstance(node, dict) else None
    return entries[0] if isinstance(entries, list) and entries else None


def _text(node: Any, key: str) -> str:
    """Text of the first entry `key`, or ''."""
    found = _child(node, key)
    return found.strip() if isinstance(found, str) else ""


def _drops_samples(info: dict[str, Any]) -> bool:
    """Tell whether the sender says that it leaves samples out (video): no even time base then."""
    synchronization = _child(_child(info, "desc"), "synchronization")
    return _text(synchronization, "can_drop_samples").lower() == "true"


def _labels(info: dict[str, Any], count: int) -> tuple[dict[str, str], ...]:
    """Label, unit and type per channel; empty where the stream describes another number."""
    channels = _child(_child(info, "desc"), "channels")
    entries = channels.get("channel") if isinstance(channels, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        return ({},) * count
    return tuple({key: _text(entry, key) for key in ("label", "unit", "type")} for entry in entries)


def _check_span(path: Path, streams: list[_Stream], zero: float) -> None:
    """Refuse a time line that no recording can have, and say which stream is far away."""
    for stream in streams:
        if float(stream.stamps.max()) - zero > _MAX_SPAN_S:
            raise RecordingError(
                f"{path}: stream '{stream.name}' lies years after the others; its clock is wrong"
            )


def _markers(stream: _Stream, zero: float) -> list[Marker]:
    """One marker per sample of a marker stream."""
    markers = []
    for stamp, row in zip(stream.stamps - zero, stream.values, strict=True):
        texts = [_marker_text(value) for value in row]
        label = ", ".join(text for text in texts if text) or stream.name
        payload: dict[str, Any] = {"stream": stream.name}
        if len(texts) > 1 and sum(map(len, texts)) <= _MAX_LABEL:
            payload["values"] = texts
        cut = label if len(label) <= _MAX_LABEL else f"{label[:_MAX_LABEL]}..."
        markers.append(Marker(onset=float(stamp), label=cut, payload=payload))
    return markers


def _marker_text(value: Any) -> str:
    """Label of one marker value; whole numbers without a decimal point."""
    if isinstance(value, str):
        return value.strip()
    number = float(value)
    return str(int(number)) if number.is_integer() else str(number)


# ---- names and units -----------------------------------------------------------------------------


def _channels(stream: _Stream, parts: list[_Part], zero: float) -> list[Channel]:
    """One channel per column of a numeric stream, or one for the axes of an accelerometer."""
    samples = np.asarray(stream.values)
    times = None
    if stream.sfreq == 0:
        order = np.argsort(stream.stamps, kind="stable")
        samples, times = samples[order], stream.stamps[order] - zero
    kinds = {label.get("type", "").lower() for label in stream.labels} - {""}
    kinds = kinds or {stream.kind.lower()}
    units = {label.get("unit", "") for label in stream.labels}
    base = Channel("", "", stream.sfreq, (), times=times, device=stream.device)
    if {_MODALITIES.get(kind) for kind in kinds} == {"acc"} and len(units) == 1 and times is None:
        segments = tuple(Segment(p.start - zero, samples[p.rows], p.sfreq) for p in parts)
        whole = replace(base, name=stream.name, units=units.pop(), segments=segments)
        return [replace(whole, modality=_modality("acc", whole.units), components=_axes(stream))]
    channels = []
    for column, label in enumerate(stream.labels):
        plain = stream.name if len(stream.labels) == 1 else f"{stream.name} {column + 1}"
        name, unit = label.get("label", "") or plain, label.get("unit", "")
        kind = label.get("type", "").lower() or (min(kinds) if len(kinds) == 1 else "")
        segments = tuple(
            Segment(p.start - zero, np.ascontiguousarray(samples[p.rows, column]), p.sfreq)
            for p in parts
        )
        modality = _modality(_MODALITIES.get(kind), unit) if stream.sfreq > 0 else None
        channels.append(replace(base, name=name, units=unit, segments=segments, modality=modality))
    return channels


def _axes(stream: _Stream) -> tuple[str, ...]:
    """Names of the columns of an acceleration stream."""
    axes = tuple(label.get("label", "") for label in stream.labels)
    if all(axes) and len(set(axes)) == len(axes):
        return axes
    return ("x", "y", "z") if len(axes) == 3 else tuple(str(n + 1) for n in range(len(axes)))


def _modality(stated: str | None, units: str) -> str | None:
    """Take the type that the stream states, where its unit can belong to that type."""
    if stated is None or session_conversion(units, stated) is None:
        return None
    return stated


def _unique_names(channels: list[Channel]) -> tuple[Channel, ...]:
    """Number the names that occur more than once."""
    seen: set[str] = set()
    last: Counter[str] = Counter()
    unique = []
    for channel in channels:
        name = channel.name
        while name in seen:
            last[channel.name] += 1
            name = f"{channel.name} {last[channel.name] + 1}"
        seen.add(name)
        unique.append(replace(channel, name=name))
    return tuple(unique)


# ---- an even time base per gap-free stretch ------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A gap-free stretch: its start (s), its rows and the rate it was delivered at."""

    start: float
    rows: slice
    sfreq: float | None


def _parts(stream: _Stream, notes: list[str]) -> list[_Part]:
    """Stretches of a stream in ascending time, on the LSL clock."""
    if stream.sfreq > 0 and not stream.is_marker:
        return _even_parts(stream, notes)
    if np.any(np.diff(stream.stamps) < 0):
        notes.append(f"stream '{stream.name}': time stamps run back; samples were sorted")
    return [_Part(float(stream.stamps.min()), slice(None), None)]


def _even_parts(stream: _Stream, notes: list[str]) -> list[_Part]:
    """Cut a regular stream at gaps and clock resets and lay each stretch on a line."""
    stamps = stream.stamps
    edges = _edges(stamps, stream.sfreq, stream.clock_segments)
    common = _common_step(stamps, edges)
    if common is None:
        common = 1 / stream.sfreq
        if len(stamps) > 1:
            notes.append(f"stream '{stream.name}': stamps give no rate, the nominal one is used")
    elif abs(common * stream.sfreq - 1) > _RATE_ERROR:
        notes.append(
            f"stream '{stream.name}' delivers {1 / common:.6g} Hz, it states {stream.sfreq:g} Hz"
        )
    if len(edges) > 2:
        notes.append(f"stream '{stream.name}' has {len(edges) - 2} interruptions")
    parts = []
    for first, last in itertools.pairwise(edges.tolist()):
        piece = stamps[first:last]
        own = _common_step(piece, np.array([0, last - first]))
        long_enough = (last - first) * common >= _OWN_SLOPE_S
        step = own if own is not None and long_enough else common
        start = float(np.mean(piece)) - step * (last - first - 1) / 2
        parts.append(_Part(start, slice(first, last), 1 / step))
    return _in_order(stream, parts, notes)


def _at_its_rate(stream: _Stream, parts: list[_Part]) -> _Stream:
    """Return the stream with the rate that it delivers, where the nominal one is far from it."""
    rates = [part.sfreq for part in parts if part.sfreq]
    if not rates or stream.sfreq == 0:
        return stream
    sizes = [part.rows.stop - part.rows.start for part in parts if part.sfreq]
    delivered = sum(sizes) / sum(n / rate for n, rate in zip(sizes, rates, strict=True))
    if abs(stream.sfreq / delivered - 1) <= _RATE_ERROR:
        return stream
    device = {**stream.device, "nominal_srate": stream.sfreq}
    return replace(stream, sfreq=float(f"{delivered:.6g}"), device=device)


def _in_order(stream: _Stream, parts: list[_Part], notes: list[str]) -> list[_Part]:
    """Sort the stretches and move one that would overlap the stretch before it."""
    ordered: list[_Part] = []
    end = -math.inf
    for part in sorted(parts, key=lambda part: part.start):
        step = 1 / (part.sfreq or stream.sfreq)
        if part.start < end - 0.4 * step:
            notes.append(
                f"stream '{stream.name}': a stretch was moved by {end - part.start:.3f} s "
                "because its time stamps overlap those before it"
            )
            part = replace(part, start=end)
        ordered.append(part)
        end = part.start + (part.rows.stop - part.rows.start) * step
    return ordered


def _edges(
    stamps: NDArray[np.float64], sfreq: float, clock_segments: tuple[tuple[int, int], ...]
) -> NDArray[np.int64]:
    """Row numbers at which a new stretch starts, with 0 and the number of rows."""
    steps = np.diff(stamps)
    limit = max(_GAP_S, _GAP_SAMPLES / sfreq)
    cuts = np.abs(steps) > limit
    cuts |= _lasting_jumps(stamps, steps, sfreq)
    cuts[[last for _, last in clock_segments if last < len(steps)]] = True
    return np.concatenate(([0], np.flatnonzero(cuts) + 1, [len(stamps)])).astype(np.int64)


def _lasting_jumps(
    stamps: NDArray[np.float64], steps: NDArray[np.float64], sfreq: float
) -> NDArray[np.bool_]:
    """Steps below the gap limit that are gaps all the same: the stamps never catch up again.

    A late packet also makes a long step, but the next stamps come early and the line is met again.
    """
    found = np.zeros(len(steps), dtype=bool)
    small = max(_SMALL_GAP_S, _SMALL_GAP_SAMPLES / sfreq)
    around = max(8, round(_AROUND_S * sfreq))
    lag = stamps - np.arange(len(stamps)) / sfreq
    rows = np.flatnonzero(steps - 1 / sfreq > small)
    if len(rows) * min(around, len(stamps)) > _MAX_JUMP_WORK:
        return found  # stamps that jump everywhere show no single gap
    for row in rows.tolist():
        before, after = lag[max(0, row + 1 - around) : row + 1], lag[row + 1 : row + 1 + around]
        jump = steps[row] - 1 / sfreq
        if min(len(before), len(after)) >= 8:
            found[row] = float(np.median(after) - np.median(before)) > 0.7 * jump
    return found


def _common_step(stamps: NDArray[np.float64], edges: NDArray[np.int64]) -> float | None:
    """Least-squares sample interval shared by all stretches; None where it cannot be told."""
    lengths = np.diff(edges)
    member = np.repeat(np.arange(len(lengths)), lengths)
    x = np.arange(len(stamps)) - edges[:-1][member] - (lengths[member] - 1) / 2
    y = stamps - (np.bincount(member, stamps) / lengths)[member]
    spread = float(x @ x)
    step = float(x @ y) / spread if spread > 0 else 0.0
    return step if step > 1 / (100 * _MAX_RATE) else None


def _wall_clock(header: dict[str, Any], notes: list[str]) -> int | None:
    """Start of the recording by the computer's clock, from the file header."""
    stated = _text(header.get("info"), "datetime")
    if not stated:
        return None
    try:
        moment = datetime.fromisoformat(stated)
    except ValueError:
        notes.append(f"the date '{stated[:40]}' in the file header was not understood")
        return None
    if moment.tzinfo is None:
        notes.append("the file header states no time zone; its date was read as UTC")
        moment = moment.replace(tzinfo=UTC)
    notes.append("wall-clock time is that of the file header: second 0 may be seconds away from it")
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
