"""EDF, EDF+ and BDF: every channel at its own rate, as the integers that the file holds.

MNE reads an EDF for EEG work: it resamples channels of a lower rate to the highest, joins the
pieces of a discontinuous file (EDF+D) and turns known units to volts. A session needs none of
these, so the records are read here as they are; the tests compare them with MNE's reading.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._edf_companion import is_piece, read_companion, restored
from physio_hqc.importers._triggers import trigger_markers
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

_ANNOTATIONS: Final = ("EDF Annotations", "BDF Annotations")
# Time-stamped annotation list: +onset [21 duration] 20 text 20 text ... 20 0
_TAL: Final = re.compile(
    rb"(?:\A|(?<=\x00))([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?((?:\x14[^\x14\x00]*)+)\x14\x00"
)
_MAX_CHANNELS: Final = 4096
_MONTHS: Final = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"


@dataclass(frozen=True)
class _Signal:
    """One signal as the header describes it."""

    label: str
    transducer: str
    units: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    prefilter: str
    n_per_record: int
    first: int  # position of its first sample in a record


@dataclass(frozen=True)
class _Header:
    bytes_per_sample: int
    patient: str
    recording: str
    date: str
    time: str
    n_bytes: int
    reserved: str
    n_records: int
    record_s: float
    signals: tuple[_Signal, ...]

    @property
    def samples_per_record(self) -> int:
        """Samples of all signals in one record."""
        return sum(signal.n_per_record for signal in self.signals)


def read(path: Path) -> Recording:
    """Read an EDF, EDF+ or BDF file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Recording
        One channel per signal. Annotations become markers, a BDF status channel also gives a
        marker at each trigger. Each piece of a discontinuous file (EDF+D) is a segment. A file
        that was exported from a session becomes that session again, to the format's resolution.

    Raises
    ------
    RecordingError
        If the header makes no sense or the file ends before its first record.

    References
    ----------
    Kemp B, Olivan J (2003), European data format 'plus' (EDF+), Clin Neurophysiol 114:1755-1761,
    https://doi.org/10.1016/S1388-2457(03)00123-8
    """
    notes: list[str] = []
    header = _read_header(path)
    records = _records(path, header, notes)
    onsets, markers = _annotations(records, header, notes)
    session = _exported(path, header, records, markers, notes)
    if session is not None:
        return replace(session, notes=tuple(notes))
    markers = [marker for marker in markers if not is_piece(marker.label)]
    pieces = _pieces(path, header, len(records), onsets, notes)
    channels: list[Channel] = []
    for signal in header.signals:
        if signal.label in _ANNOTATIONS or signal.n_per_record == 0:
            continue
        channel = _channel(signal, records, header, pieces, notes)
        channels.append(channel)
        if header.bytes_per_sample == 3 and signal.label.lower() == "status":
            markers += trigger_markers(channel, mask=0xFFFF)
    if not channels:
        raise RecordingError(f"{path}: it holds annotations only, no signals")
    first = onsets[0] if onsets is not None else 0.0
    return Recording(
        source=path,
        format="bdf" if header.bytes_per_sample == 3 else "edf",
        channels=tuple(channels),
        markers=tuple(sorted(markers, key=lambda marker: marker.onset)),
        t0_unix_ns=_start_time(header, first, notes),
        participant_id=_participant(header),
        notes=tuple(notes),
    )


def _exported(
    path: Path, header: _Header, records: NDArray[Any], markers: list[Marker], notes: list[str]
) -> Recording | None:
    """Return the session that the file was exported from, if it was and is as it was."""
    told = read_companion(path, [marker.label for marker in markers], notes)
    if told is None:
        return None

    def signal_of(k: int) -> tuple[NDArray[np.int16], float] | None:
        if k >= len(header.signals) or header.bytes_per_sample != 2 or header.record_s <= 0:
            return None
        signal = header.signals[k]
        if signal.label in _ANNOTATIONS or not signal.n_per_record:
            return None
        return _digital(records, signal, 2).reshape(-1), signal.n_per_record / header.record_s

    session = restored(path, told, markers, signal_of)
    if session is None:
        notes.append("the signals are not those that physio_hqc wrote: read as a plain EDF+ file")
    return session


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256:
            raise RecordingError(f"{path}: the EDF header is cut short")
        n_signals = _whole_number(fixed[252:256], "number of signals", path)
        if not 0 < n_signals <= _MAX_CHANNELS:
            raise RecordingError(f"{path}: an EDF of {n_signals} signals makes no sense")
        table = file.read(256 * n_signals)
    if len(table) < 256 * n_signals:
        raise RecordingError(f"{path}: the EDF header is cut short")
    n_bytes = _whole_number(fixed[184:192], "header size", path)
    if n_bytes < 256 * (n_signals + 1):
        raise RecordingError(f"{path}: a header of {n_bytes} bytes makes no sense")
    record_s = _number(fixed[244:252], "record duration", path)
    if record_s < 0:
        raise RecordingError(f"{path}: a record of {record_s} s makes no sense")
    return _Header(
        bytes_per_sample=3 if fixed[:8] == b"\xffBIOSEMI" else 2,
        patient=_text(fixed[8:88]),
        recording=_text(fixed[88:168]),
        date=_text(fixed[168:176]),
        time=_text(fixed[176:184]),
        n_bytes=n_bytes,
        reserved=_text(fixed[192:236]),
        n_records=_whole_number(fixed[236:244], "number of records", path),
        record_s=record_s,
        signals=_read_signals(table, n_signals, path),
    )


def _read_signals(table: bytes, n: int, path: Path) -> tuple[_Signal, ...]:
    """Cut the signal table into its columns, each of fixed width."""
    columns: list[list[bytes]] = []
    start = 0
    for width in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        columns.append([table[start + width * i : start + width * (i + 1)] for i in range(n)])
        start += width * n
    counts = [_whole_number(item, "samples per record", path) for item in columns[8]]
    if min(counts) < 0 or sum(counts) > 2**31:
        raise RecordingError(
            f"{path}: {min(counts)} to {max(counts)} samples a record make no sense"
        )
    signals, first = [], 0
    for i in range(n):
        low, high, d_low, d_high = (
            _number(columns[k][i], what, path)
            for k, what in ((3, "physical range"), (4, "physical range"), (5, "digital range"),
                            (6, "digital range"))
        )  # fmt: skip
        signals.append(
            _Signal(
                label=_text(columns[0][i]),
                transducer=_text(columns[1][i]),
                units=_text(columns[2][i]),
                physical=(low, high),
                digital=(d_low, d_high),
                prefilter=_text(columns[7][i]),
                n_per_record=counts[i],
                first=first,
            )
        )
        first += counts[i]
    return tuple(signals)


def _text(field: bytes) -> str:
    return field.decode("latin-1").replace("\x00", " ").strip()


def _number(field: bytes, what: str, path: Path) -> float:
    """Read a number field; writers differ ("-32.E2", "-.32E+4", a decimal comma)."""
    text = _text(field).replace(",", ".").replace(" ", "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RecordingError(f"{path}: {what} {text!r} in the EDF header is no number")
    return value


def _whole_number(field: bytes, what: str, path: Path) -> int:
    value = _number(field, what, path)
    if value != int(value):
        raise RecordingError(f"{path}: {what} {value} in the EDF header is no whole number")
    return int(value)


def _records(path: Path, header: _Header, notes: list[str]) -> NDArray[Any]:
    """Map the data records into memory: (records, samples per record), or bytes for BDF."""
    width = header.bytes_per_sample
    record_bytes = header.samples_per_record * width
    present = (path.stat().st_size - header.n_bytes) // record_bytes if record_bytes else 0
    if present < 1:
        raise RecordingError(f"{path}: it ends before its first data record")
    if header.n_records < 0:
        notes.append(f"the header does not count its records (recording not closed): {present}")
    elif present < header.n_records:
        notes.append(f"cut short: {present} of {header.n_records} records are there")
    elif present > header.n_records:
        notes.append(f"{present - header.n_records} records after the counted ones are left out")
    n = present if header.n_records < 0 else min(present, header.n_records)
    if n < 1:
        raise RecordingError(f"{path}: the header counts no data records")
    dtype, columns = ("<i2", header.samples_per_record) if width == 2 else ("u1", record_bytes)
    return np.memmap(path, dtype=dtype, mode="r", offset=header.n_bytes, shape=(n, columns))


def _digital(records: NDArray[Any], signal: _Signal, width: int) -> NDArray[Any]:
    """Return one signal's samples, (records, samples per record), int16 or int32."""
    first, last = signal.first, signal.first + signal.n_per_record
    if width == 2:
        return np.array(records[:, first:last], dtype=np.int16)
    low = np.ascontiguousarray(records[:, 3 * first : 3 * last]).reshape(len(records), -1, 3)
    wide = np.zeros((*low.shape[:2], 4), dtype=np.uint8)
    wide[..., 1:] = low
    # The three bytes fill the upper part of a 32-bit number; shifting down extends the sign.
    return np.asarray(wide.view("<i4")[..., 0] >> 8, dtype=np.int32)


def _annotations(
    records: NDArray[Any], header: _Header, notes: list[str]
) -> tuple[NDArray[np.float64] | None, list[Marker]]:
    """Return the onset that each record states, and all annotations, from the first record on."""
    # Some writers make EDF+ files and do not say so in the header: the content decides.
    columns = [
        signal
        for signal in header.signals
        if signal.label in _ANNOTATIONS and signal.n_per_record > 0
    ]
    if not columns:
        return None, []
    onsets = np.full(len(records), np.nan)
    found: list[tuple[float, float, str]] = []
    width = header.bytes_per_sample
    per_byte = 1 if width == 3 else 2
    for position, signal in enumerate(columns):
        first, last = signal.first, signal.first + signal.n_per_record
        for i, record in enumerate(records):
            raw = record[first:last] if width == 2 else record[3 * first : 3 * last]
            text = raw.astype("<i2" if per_byte == 2 else "u1").tobytes()
            for k, match in enumerate(_TAL.finditer(text)):
                onset, duration = float(match[1]), float(match[2] or 0)
                if position == 0 and k == 0:
                    onsets[i] = onset  # the first list of a record keeps its time
                found += [(onset, duration, label) for label in _labels(match[3])]
    complete = bool(np.isfinite(onsets).all())
    if not complete:
        notes.append(f"{int(np.isnan(onsets).sum())} records do not state their time")
    start = float(onsets[0]) if np.isfinite(onsets[0]) else 0.0
    markers = [Marker(onset - start, label, duration=length) for onset, length, label in found]
    return (onsets if complete else None), markers


def _labels(field: bytes) -> list[str]:
    texts = []
    for part in field.split(b"\x14"):
        try:
            texts.append(part.decode("utf-8").strip())
        except UnicodeDecodeError:
            texts.append(part.decode("latin-1").strip())
    return [text for text in texts if text]


def _pieces(
    path: Path,
    header: _Header,
    n_records: int,
    onsets: NDArray[np.float64] | None,
    notes: list[str],
) -> list[tuple[int, int, float]]:
    """Return (first record, last + 1, start in s) of each stretch without a gap."""
    if not header.reserved.startswith(("EDF+D", "BDF+D")):
        return [(0, n_records, 0.0)]
    if onsets is None:
        raise RecordingError(
            f"{path}: a discontinuous file (EDF+D) whose records do not state their times"
        )
    times = onsets - onsets[0]
    fastest = max((signal.n_per_record for signal in header.signals), default=1)
    slack = 0.5 * header.record_s / max(1, fastest) + 1e-6
    step = np.diff(times) - header.record_s
    if (step < -max(slack, 0.001)).any():
        at = int(np.argmin(step))
        raise RecordingError(f"{path}: data record {at + 1} begins before the previous one ends")
    starts = [0, *(np.flatnonzero(step > slack) + 1).tolist()]
    if len(starts) > 1:
        notes.append(f"discontinuous: {len(starts)} stretches with gaps between them")
    stops = [*starts[1:], n_records]
    return [(a, b, float(times[a])) for a, b in zip(starts, stops, strict=True)]


def _channel(
    signal: _Signal,
    records: NDArray[Any],
    header: _Header,
    pieces: list[tuple[int, int, float]],
    notes: list[str],
) -> Channel:
    if header.record_s <= 0:
        raise RecordingError(f"channel {signal.label!r} has samples but records of no duration")
    digital = _digital(records, signal, header.bytes_per_sample)
    scale, offset, units = _calibration(signal, notes)
    about = {"transducer": signal.transducer, "prefilter": signal.prefilter}
    return Channel(
        name=signal.label or "unnamed",
        units=units,
        sfreq=signal.n_per_record / header.record_s,
        segments=tuple(Segment(start, digital[a:b].reshape(-1)) for a, b, start in pieces),
        scale=scale,
        offset=offset,
        device={key: value for key, value in about.items() if value},
    )


def _calibration(signal: _Signal, notes: list[str]) -> tuple[float, float, str]:
    """Return scale, offset and unit: physical = (d - dmin) * (pmax - pmin) / (dmax - dmin) + pmin.

    Examples
    --------
    >>> _calibration(_Signal("ECG", "", "uV", (-100, 100), (0, 200), "", 1, 0), [])
    (1.0, -100.0, 'uV')
    """
    (low, high), (d_low, d_high) = signal.physical, signal.digital
    if high == low or d_high == d_low:
        notes.append(
            f"{signal.label}: physical or digital range is empty, values stay uncalibrated"
        )
        return 1.0, 0.0, ""
    scale = (high - low) / (d_high - d_low)
    return scale, low - d_low * scale, signal.units


def _start_time(header: _Header, first: float, notes: list[str]) -> int | None:
    """Return the wall-clock time of the first sample; the header states local time, no zone."""
    clock = re.fullmatch(r"(\d\d)[.:](\d\d)[.:](\d\d)", header.time)
    day = _start_date(header)
    if clock is None or day is None:
        notes.append("the header does not state when the recording began")
        return None
    hour, minute, second = (int(part) for part in clock.groups())
    if hour > 23 or minute > 59 or second > 59:
        notes.append(f"the header's start time {header.time} makes no sense")
        return None
    notes.append("the start is local time without a time zone, taken as UTC")
    begin = day.replace(hour=hour, minute=minute, second=second)
    return round(begin.timestamp()) * 10**9 + round(first * 1e9)


def _start_date(header: _Header) -> datetime | None:
    """Return the start date: in EDF+ with four digits of the year, else 1985 to 2084."""
    long = re.match(r"Startdate (\d\d)-([A-Za-z]{3})-(\d{4})", header.recording)
    month = _MONTHS.find(long[2].upper()) if long else -1
    if long and month >= 0 and month % 3 == 0:
        parts = (int(long[3]), month // 3 + 1, int(long[1]))
    elif short := re.fullmatch(r"(\d\d)[.\-/](\d\d)[.\-/](\d\d)", header.date):
        year = int(short[3])
        parts = (year + (1900 if year >= 85 else 2000), int(short[2]), int(short[1]))
    else:
        return None
    try:
        return datetime(*parts, tzinfo=UTC)
    except ValueError:
        return None


def _participant(header: _Header) -> str:
    """Return the patient code of an EDF+ file; names and birth dates are not taken over."""
    if not header.reserved.startswith(("EDF+", "BDF+")):
        return ""
    code = header.patient.split(" ")[0]
    return "" if code in ("X", "") else code
