"""Reading back what an export put into annotations: the session behind an EDF+ file.

The annotations come from a file, which is untrusted: everything is checked against the signals.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from physio_hqc.errors import RecordingError
from physio_hqc.importers._places import Stretch, sample_places
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment
from physio_hqc.session.format import EVENT_KINDS, MAX_CHANNELS, MAX_STREAMS, MODALITIES

LABEL: Final = "physio_hqc"
VERSION: Final = 1
_PIECE: Final = re.compile(rf"{LABEL} (\d{{1,7}})/(\d{{1,7}}) ([0-9a-f]{{8}}) (.*)", re.DOTALL)
_MISSING: Final = -32768
_NEAR_S: Final = 1e-5
_MOST_BYTES: Final = 500_000_000

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=60_000)]
_Number = _Finite | list[_Finite]
_Cells = list[float | None]


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"{name[:40]!r} is none of {', '.join(names)}")
        return name

    return check


class Model(BaseModel):
    """Plain data, checked strictly."""

    model_config = ConfigDict(extra="ignore", strict=True)


class SessionTold(Model):
    """Who was recorded, in which cell of the design, by what protocol."""

    session_id: _Text
    participant_id: _Text
    condition: _Text
    dyad_id: _Text
    role: _Text
    protocol: _Text
    t0_unix_ns: int | None


class StreamTold(Model):
    """One stream; `digital` says per channel how to come from digital to stored values."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    modality: Annotated[str, AfterValidator(_one_of(MODALITIES))]
    units: Annotated[str, Field(max_length=10_000)]
    sfreq: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    channels: Annotated[list[_Text], Field(min_length=1, max_length=MAX_CHANNELS)]
    device: dict[str, Any]
    dtype: Literal[
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64",
    ]  # fmt: skip
    scale: _Number
    offset: _Number
    times: list[_Finite] = []
    values: list[float | int | None] | list[list[float | int | None]] = []
    segments: list[tuple[Annotated[int, Field(ge=1)], _Finite, _Positive]] = []
    first_signal: Annotated[int, Field(ge=0)] | None = None
    digital: list[tuple[_Finite, int | _Finite, bool]] = []


_EventTold = tuple[
    _Finite,
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    Annotated[str, AfterValidator(_one_of(EVENT_KINDS))],
    _Text,
    _Text,
    dict[str, Any],
]


class Told(Model):
    """A whole session as the companion tells it."""

    version: Literal[1]
    origin_s: _Finite
    session: SessionTold
    streams: Annotated[list[StreamTold], Field(max_length=MAX_STREAMS)]
    events: list[_EventTold]


def is_piece(text: str) -> bool:
    """Tell whether an annotation belongs to a companion."""
    return _PIECE.fullmatch(text) is not None


def read_companion(path: Path, texts: Sequence[str], notes: list[str]) -> Told | None:
    """Put the pieces together and check them; None where there is none, or none that is whole.

    Raises
    ------
    RecordingError
        If it is whole but tells what no session can be.
    """
    found = [match for match in map(_PIECE.fullmatch, texts) if match]
    if not found:
        return None
    pieces = {int(match[1]): match[4] for match in found}
    totals, marks = {int(match[2]) for match in found}, {match[3] for match in found}
    data = "".join(pieces.get(k, "") for k in sorted(pieces)).encode()
    whole = (
        len(totals) == 1 and len(marks) == 1 and sorted(pieces) == list(range(1, max(totals) + 1))
    )
    if not whole or f"{zlib.crc32(data):08x}" not in marks or len(data) > _MOST_BYTES:
        notes.append(
            "annotations of physio_hqc are missing or were changed: read as a plain EDF+ file"
        )
        return None
    try:
        return Told.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "their beginning"
        raise RecordingError(
            f"{path}: its physio_hqc annotations make no sense at {where}: {first['msg']}"
        ) from error


def restored(
    path: Path,
    told: Told,
    markers: Sequence[Marker],
    signal_of: Callable[[int], tuple[NDArray[np.int16], float] | None],
) -> Recording | None:
    """Return the session as it was; None where the signals are not those that were exported.

    Parameters
    ----------
    path : Path
    told : Told
    markers : sequence of Marker
        All annotations; those that others added are kept.
    signal_of : callable
        Number of a signal -> its digital values and rate, None where there is no such signal.
    """
    channels = []
    for stream in told.streams:
        checked(path, stream)
        channel = (
            _regular(path, stream, told.origin_s, signal_of)
            if stream.sfreq
            else _irregular(path, stream)
        )
        if channel is None:
            return None
        channels.append(channel)
    if len({stream.name for stream in told.streams}) < len(told.streams):
        raise RecordingError(f"{path}: its physio_hqc annotations name a stream twice")
    return Recording(
        source=path,
        format="edf",
        channels=tuple(channels),
        markers=_events(told, markers),
        **told.session.model_dump(),
    )


def checked(path: Path, stream: StreamTold, in_table: int | None = None) -> None:
    """Refuse a stream whose parts do not fit each other, or the rows of its table."""
    n = len(stream.channels)
    fits = all(not isinstance(x, list) or len(x) == n for x in (stream.scale, stream.offset))
    if in_table is not None:
        fits &= not stream.sfreq or sum(length for length, *_ in stream.segments) == in_table
    elif stream.sfreq:
        fits &= len(stream.digital) == (n if stream.segments else 0)
    else:
        fits &= len(stream.times) == len(stream.values)
        fits &= all(isinstance(row, list) == (n > 1) for row in stream.values)
        fits &= all(len(row) == n for row in stream.values if isinstance(row, list))
    if not fits:
        raise RecordingError(
            f"{path}: it tells of a stream {stream.name!r} whose parts do not fit each other"
        )


def told_channel(
    stream: StreamTold, segments: tuple[Segment, ...], times: NDArray[np.float64] | None = None
) -> Channel:
    """Return a channel that becomes the stream again."""
    return Channel(
        name=stream.name,
        units=stream.units,
        sfreq=stream.sfreq,
        segments=segments,
        scale=np.asarray(stream.scale) if isinstance(stream.scale, list) else stream.scale,
        offset=np.asarray(stream.offset) if isinstance(stream.offset, list) else stream.offset,
        modality=stream.modality,
        components=tuple(stream.channels),
        times=times,
        device=stream.device,
        stream=stream.name,
        dtype=stream.dtype,
    )


def _irregular(path: Path, stream: StreamTold) -> Channel:
    dtype = np.dtype(stream.dtype)
    rows: list[Any] = stream.values
    missing = np.nan if dtype.kind == "f" else 0
    cells = [
        [missing if cell is None else cell for cell in row]
        if isinstance(row, list)
        else missing if row is None else row
        for row in rows
    ]  # fmt: skip
    try:
        samples = np.array(cells, dtype=dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{path}: stream {stream.name!r} holds values that are no {stream.dtype}"
        ) from error
    times = np.asarray(stream.times, dtype=np.float64)
    return told_channel(stream, (Segment(0.0, samples),) if len(samples) else (), times)


def _regular(
    path: Path,
    stream: StreamTold,
    origin_s: float,
    signal_of: Callable[[int], tuple[NDArray[np.int16], float] | None],
) -> Channel | None:
    if not stream.segments:
        return told_channel(stream, ())
    if stream.first_signal is None:
        raise RecordingError(f"{path}: stream {stream.name!r} has samples but no signal")
    stretches = [Stretch(*segment) for segment in stream.segments]
    columns = []
    places: NDArray[np.int64] | None = None
    for k, (gain, shift, is_exact) in enumerate(stream.digital):
        signal = signal_of(stream.first_signal + k)
        if signal is None or sum(s.n for s in stretches) > len(signal[0]):
            return None
        digital, rate = signal
        if any(s.sfreq > rate * (1 + 1e-6) for s in stretches if s.n > 1):
            return None
        if places is None:
            places = sample_places(stretches, rate, origin_s)
        if places[0] < 0 or places[-1] >= len(digital):
            return None
        taken = digital[places]
        columns.append(_stored(taken, gain, shift, np.dtype(stream.dtype), is_exact=is_exact))
    samples = columns[0] if len(columns) == 1 else np.column_stack(columns)
    bounds = np.cumsum([0, *(s.n for s in stretches)]).tolist()
    parts = tuple(
        Segment(s.t_start, samples[a:b], s.sfreq)
        for s, a, b in zip(stretches, bounds[:-1], bounds[1:], strict=True)
    )
    return told_channel(stream, parts)


def _stored(
    digital: NDArray[np.int16], gain: float, shift: float, dtype: np.dtype[Any], *, is_exact: bool
) -> NDArray[Any]:
    """Come from digital values back to stored ones."""
    if is_exact and dtype.kind in "iu":
        # Modulo 2**64, as the exporter subtracted.
        wide = digital.astype(np.int64).astype(np.uint64) + np.uint64(int(shift) % 2**64)
        return np.asarray(wide.astype(dtype))
    with np.errstate(all="ignore"):
        values = digital * gain + shift
        if dtype.kind == "f":
            values[digital == _MISSING] = np.nan
            return np.asarray(values, dtype=dtype)
        limits = np.iinfo(dtype)
        # The largest 64-bit numbers are no floats: stay below them.
        top = np.nextafter(float(limits.max), 0.0) if dtype.itemsize == 8 else float(limits.max)
        return np.asarray(np.clip(np.rint(values), float(limits.min), top).astype(dtype))


def _events(told: Told, markers: Sequence[Marker]) -> tuple[Marker, ...]:
    """Events as they were, and annotations that somebody added since."""
    events = [
        Marker(
            onset,
            label,
            kind=kind,
            duration=float("nan") if duration is None else duration,
            payload=payload,
            source=source,
        )
        for onset, duration, kind, label, source, payload in told.events
    ]
    ours = _Ours(told)
    added = [
        Marker(marker.onset + told.origin_s, marker.label, marker.kind, marker.duration)
        for marker in markers
        if not is_piece(marker.label) and not ours.holds(marker)
    ]
    return (*events, *added)


class _Ours:
    """Annotations that the exporter wrote for other readers."""

    def __init__(self, told: Told) -> None:
        self._origin = told.origin_s
        self._streams = {stream.name: np.sort(stream.times) for stream in told.streams}
        onsets: dict[str, list[float]] = {}
        for onset, _, kind, label, *_ in told.events:
            onsets.setdefault(shown(f"{kind}/{label}"), []).append(onset)
        self._events = {text: np.sort(times) for text, times in onsets.items()}

    def holds(self, marker: Marker) -> bool:
        """Tell whether this annotation stands for something that is told exactly."""
        onset = marker.onset + self._origin
        text = shown(marker.label)
        if text.startswith("BAD_gap ") and text.removeprefix("BAD_gap ") in self._streams:
            return True
        if _is_near(self._events.get(text), onset):
            return True
        return _is_near(self._streams.get(text.split(" ", 1)[0]), onset)


def shown(text: str) -> str:
    """Text as an annotation can hold it: on one line, without control characters."""
    clean = "".join(c if c.isprintable() or c.isspace() else " " for c in text)
    return " ".join(clean.split()) or "-"


def _is_near(times: NDArray[np.float64] | None, onset: float) -> bool:
    if times is None or not times.size:
        return False
    k = int(np.searchsorted(times, onset))
    return bool(np.min(np.abs(times[max(k - 1, 0) : k + 1] - onset)) < _NEAR_S)
