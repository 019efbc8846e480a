"""WFDB records (PhysioNet): one segment or many, several rates in one record, annotations.

Signals are read as stored integers; gain and baseline become scale and offset.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers.formats import reader_errors
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

# Bits a sample takes in the formats that are not compressed.
_BITS: Final = {
    "8": 8,
    "16": 16,
    "24": 24,
    "32": 32,
    "61": 16,
    "80": 8,
    "160": 16,
    "212": 12,
    "310": 32 / 3,
    "311": 32 / 3,
}
_COMPRESSED: Final = {"508": 8, "516": 16, "524": 24}
# The code that stands for a missing sample: the lowest of the format's range.
_MISSING: Final = {
    "80": -(2**7),
    "508": -(2**7),
    "310": -(2**9),
    "311": -(2**9),
    "212": -(2**11),
    "16": -(2**15),
    "61": -(2**15),
    "160": -(2**15),
    "516": -(2**15),
    "24": -(2**23),
    "524": -(2**23),
    "32": -(2**31),
}
_FREE_SAMPLES: Final = 1 << 24  # FLAC packs a constant block into a few bytes
_MAX_SAMPLES_PER_BYTE: Final = 64
_MAX_SIGNALS: Final = 1024
_MAX_SEGMENTS: Final = 100_000
_MOST_USES: Final = 16
_MAX_HEADER_BYTES: Final = 20_000_000
_LONGEST_LINE: Final = 2000
# Frames a second, then the counter's frequency and its first value, which are not needed.
_RATE = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:/-?[\d.]*)?(?:\(-?[\d.]*\))?", re.ASCII)
# Notes about the annotator itself: the word that announces a note, and how that begins.
_ABOUT = re.compile(rb"(?=([\x00-\xff][\xfc-\xff])## )")
_ABOUT_IN_ORDER = re.compile(r"(de)*t?(de)*")
_FILE_NAME = re.compile(r"~?(?!\.+$)[-\w.]+|~")
# Names under which annotators file their work; any other ending is somebody else's file.
_ANNOTATOR: Final = re.compile(
    r"atr|ari|ann|aux|ecg|qrsc?|[gjsw]qrs|w?abp|ple|al[hme]?|all|apn|st[abc]?|16[ab]|hypn?|event|"
    r"evt|man|mar|in|out|slp|arou(sal)?|win|cmt|pu[01]|q[12]c|t[12]"
)
_BEATS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
_WAVES: Final = frozenset("()ptu`'^!|x")  # parts of a beat, flutter waves, single artifacts
_MAX_MARKERS: Final = 20_000


@dataclass
class _Track:
    """The stretches of one signal, gathered over the segments of a record."""

    name: str
    units: str
    sfreq: float
    gain: float
    baseline: float
    description: dict[str, Any]
    parts: list[tuple[float, NDArray[Any]]] = field(default_factory=list)


# By name and by how many signals of that name came before it in the segment.
_Tracks = dict[tuple[str, int], _Track]


def read(path: Path) -> Recording:
    """Read a WFDB record.

    Parameters
    ----------
    path : Path
        Header (.hea), signal file beside its header, or the record's name without ending.

    Returns
    -------
    Recording
        One channel per signal with its own rate; a gap segment (``~``) becomes a gap; skewed
        signals are put back in time; missing codes become NaN. Comments and rhythm changes become
        markers, beat annotations are counted in a note.

    Raises
    ------
    RecordingError
        If a file is missing, or a header names a file outside its folder.
    """
    import wfdb

    base = _record_base(path)
    notes: list[str] = []
    _check_header(base)
    header = wfdb.rdheader(str(base), rd_segments=False)
    frame_rate = float(header.fs)
    if not 0 < frame_rate < 1e7:
        raise RecordingError(f"{path}: a rate of {frame_rate} Hz makes no sense")
    tracks: _Tracks = {}
    for name, start, n_frames in _segments(header, base):
        _read_segment(base.parent / name, start / frame_rate, n_frames, frame_rate, tracks, notes)
    markers = _read_annotations(base, frame_rate, notes)
    if not tracks:
        raise RecordingError(f"{path}: the record has no signals")
    return Recording(
        source=path,
        format="wfdb",
        channels=tuple(_channel(track, notes) for track in tracks.values()),
        markers=markers,
        t0_unix_ns=_start_time(header, notes),
        notes=tuple(dict.fromkeys(notes + _comments(header))),
    )


def _record_base(path: Path) -> Path:
    """Return the record's path without ending: the header must be there."""
    base = path.with_suffix("") if path.suffix.lower() == ".hea" else path
    if Path(f"{base}.hea").is_file():
        return base
    if path.suffix and path.with_suffix(".hea").is_file():
        return path.with_suffix("")
    raise RecordingError(f"{path}: its header {path.with_suffix('.hea').name} is not beside it")


def _check_header(base: Path) -> None:
    """Refuse a header that names other places or absurd counts, before wfdb goes by it."""
    header = Path(f"{base}.hea")
    if header.stat().st_size > _MAX_HEADER_BYTES:
        raise RecordingError(f"{header} is too large to be a header")
    content = header.read_bytes().decode("utf-8", "replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", content)]
    lines = [line for line in lines if line and not line.startswith("#")]
    if any(len(line) > _LONGEST_LINE for line in lines):
        raise RecordingError(f"{header}: a line of more than {_LONGEST_LINE} characters")
    first = re.match(r"[-\w]+(?:/(\d{0,9}))?\s+(\d{1,9})(?!\d)", lines[0]) if lines else None
    if first is None:
        raise RecordingError(f"{header}: the record line is damaged")
    n_segments, n_signals = int(first[1] or 0), int(first[2])
    if n_signals > _MAX_SIGNALS or n_segments > _MAX_SEGMENTS:
        raise RecordingError(f"{header}: {n_signals} signals, {n_segments} segments make no sense")
    rate = lines[0].split()[2:3]
    if rate and not _RATE.fullmatch(rate[0]):
        raise RecordingError(f"{header}: a rate of {rate[0][:40]!r} makes no sense")
    for line in lines[1 : 1 + (n_segments or n_signals)]:
        _require_plain_name(line.split()[0], base)


def _segments(header: Any, base: Path) -> list[tuple[str, int, int | None]]:
    """Return (record name, first frame, number of frames) of each segment that holds signals."""
    names: list[str] | None = getattr(header, "seg_name", None)
    if names is None:
        return [(base.name, 0, header.sig_len)]
    found: list[tuple[str, int, int | None]] = []
    start = 0
    uses = Counter(names)
    for name, length in zip(names, header.seg_len, strict=True):
        _require_plain_name(name, base)
        if name != "~" and uses[name] > _MOST_USES:
            raise RecordingError(f"{base}.hea names the segment {name!r} {uses[name]} times")
        if name != "~" and length > 0:
            found.append((name, start, int(length)))
        start += int(length)
    return found


def _require_plain_name(name: str, base: Path) -> None:
    """Refuse a name that could lead out of the record's folder, or to the network."""
    if name != "~" and not _FILE_NAME.fullmatch(name):
        raise RecordingError(f"{base}.hea names the file {name!r}, which is not a plain file name")


def _read_segment(
    base: Path,
    t_start: float,
    n_frames: int | None,
    frame_rate: float,
    tracks: _Tracks,
    notes: list[str],
) -> None:
    """Read one segment's signals and append them to the tracks they continue."""
    import wfdb

    if not Path(f"{base}.hea").is_file():
        raise RecordingError(f"{base}.hea is missing: the record is not complete")
    _check_header(base)
    header = wfdb.rdheader(str(base), rd_segments=False)
    if getattr(header, "seg_name", None) is not None:
        raise RecordingError(f"{base}.hea: a segment that is itself cut into segments")
    wanted = [i for i, name in enumerate(header.file_name or []) if name != "~"]
    if not wanted:
        return
    for i in wanted:
        _require_plain_name(header.file_name[i], base)
    frames = _frames_present(header, base, n_frames, wanted, notes)
    # wfdb cannot return the integers of format 61 (high byte first), only physical values.
    physical = any(str(header.fmt[i]) == "61" for i in wanted)
    record = wfdb.rdrecord(
        str(base),
        # Where the header states no length, wfdb takes no other than the file's.
        sampto=None if header.sig_len is None else frames,
        channels=wanted,
        physical=physical,
        smooth_frames=False,
        ignore_skew=True,
    )
    for position, i in enumerate(wanted):
        if physical:
            digital = _as_stored(record.e_p_signal[position], header, i)
        else:
            digital = record.e_d_signal[position]
        _append(header, i, digital, t_start, frame_rate, tracks, notes)


def _as_stored(physical: NDArray[np.float64], header: Any, i: int) -> NDArray[np.int64]:
    """Turn one signal's physical values back into the stored integers."""
    digital = np.rint(physical * (header.adc_gain[i] or 200.0) + (header.baseline[i] or 0))
    code = _MISSING.get(str(header.fmt[i]), 0)
    return np.where(np.isnan(digital), code, digital).astype(np.int64)


def _frames_present(
    header: Any, base: Path, n_frames: int | None, wanted: list[int], notes: list[str]
) -> int | None:
    """Compare the header's promise with the size of the signal files, before anything is read."""
    promised = header.sig_len if n_frames is None else n_frames
    present = promised
    for name in dict.fromkeys(header.file_name[i] for i in wanted):
        file = base.parent / name
        if not file.is_file():
            raise RecordingError(f"{base}.hea names the signal file {name}, which is not beside it")
        signals = [i for i in range(header.n_sig) if header.file_name[i] == name]
        per_frame = sum(header.samps_per_frame[i] or 1 for i in signals)
        size = file.stat().st_size - (header.byte_offset[signals[0]] or 0)
        storage = str(header.fmt[signals[0]])
        if storage in _COMPRESSED:
            most = max(_FREE_SAMPLES, size * _MAX_SAMPLES_PER_BYTE)
            if promised is None or promised * per_frame > most:
                raise RecordingError(f"{base}.hea promises more samples than {name} can hold")
            continue
        if storage not in _BITS:
            raise RecordingError(f"{base}.hea: signal format {storage} is not known")
        held = int(size * 8 / _BITS[storage] / per_frame + 1e-9)
        if promised is not None and held < promised:
            notes.append(f"{name} is cut short: {held} of {promised} frames are there")
        present = held if present is None else min(present, held)
    if present is not None and present <= 0:
        raise RecordingError(f"{base}: the signal file is empty or cut off before its first sample")
    return present


def _append(
    header: Any,
    i: int,
    digital: NDArray[Any],
    t_start: float,
    frame_rate: float,
    tracks: _Tracks,
    notes: list[str],
) -> None:
    """Put one signal of one segment into its track, with skew and missing codes undone."""
    name = header.sig_name[i] or f"signal {i}"
    per_frame = header.samps_per_frame[i] or 1
    track = _Track(
        name=name,
        units=header.units[i] or "",
        sfreq=frame_rate * per_frame,
        gain=float(header.adc_gain[i] or 200.0),
        baseline=float(header.baseline[i] or 0),
        description={
            "wfdb_format": str(header.fmt[i]),
            "adc_resolution_bits": header.adc_res[i],
            "skew_frames": header.skew[i] or 0,
        },
    )
    samples = _without_missing(digital, str(header.fmt[i]))
    skew = header.skew[i] or 0
    if skew:
        notes.append(f"{name}: {skew} frames of skew between the channels undone")
    begin = t_start - skew / frame_rate
    early = max(0, round(-begin * track.sfreq))
    known = tracks.setdefault((name, header.sig_name[:i].count(header.sig_name[i])), track)
    if (known.units, known.sfreq) != (track.units, track.sfreq):
        raise RecordingError(f"{name}: unit or rate changes from one segment to the next")
    if (known.gain, known.baseline) != (track.gain, track.baseline):
        # Bring the stretch to the scale of the first one; integers cannot hold that.
        physical = (samples.astype(np.float64) - track.baseline) / track.gain
        samples = physical * known.gain + known.baseline
        notes.append(f"{name}: the gain changes between segments; values are rescaled to the first")
    known.parts.append((begin + early / track.sfreq, samples[early:]))


def _without_missing(digital: NDArray[Any], storage: str) -> NDArray[Any]:
    """Replace the missing code by NaN; without one, keep integers, as small as they fit."""
    width = _BITS.get(storage) or _COMPRESSED[storage]
    small = np.int16 if width <= 16 else np.int32
    code = _MISSING.get(storage)
    missing = digital == code if code is not None else np.zeros(len(digital), dtype=bool)
    if not missing.any():
        fits = storage != "8" or bool(np.abs(digital).max(initial=0) < 2**15)
        return digital.astype(small if fits else np.int32)
    # float32 holds every integer of up to 24 bits exactly.
    values = digital.astype(np.float32 if width <= 24 else np.float64)
    values[missing] = np.nan
    return values


def _channel(track: _Track, notes: list[str]) -> Channel:
    """Join stretches that touch, and bring all to one number type."""
    kinds = [samples.dtype for _, samples in track.parts]
    dtype = np.result_type(*kinds)
    if dtype.kind == "f" and any(kind == np.int32 for kind in kinds):
        dtype = np.dtype(np.float64)
    joined: list[tuple[float, list[NDArray[Any]]]] = []
    end = -np.inf
    for start, samples in track.parts:
        if joined and abs(start - end) < 0.5 / track.sfreq:
            joined[-1][1].append(samples)
        else:
            joined.append((start, [samples]))
        end = start + len(samples) / track.sfreq
    segments = tuple(
        Segment(t_start=max(0.0, start), samples=np.concatenate(pieces).astype(dtype, copy=False))
        for start, pieces in joined
    )
    n_missing = sum(int(np.isnan(part.samples).sum()) for part in segments if dtype.kind == "f")
    if n_missing:
        notes.append(f"{track.name}: {n_missing} samples are marked missing and become NaN")
    return Channel(
        name=track.name,
        units=track.units,
        sfreq=track.sfreq,
        segments=segments,
        scale=1.0 / track.gain,
        offset=0.0 - track.baseline / track.gain,
        device={key: value for key, value in track.description.items() if value},
    )


def _start_time(header: Any, notes: list[str]) -> int | None:
    date, clock = getattr(header, "base_date", None), getattr(header, "base_time", None)
    if date is None:
        if clock is not None:
            notes.append(f"the header states a time of day ({clock}) but no date")
        return None
    midnight = datetime(date.year, date.month, date.day, tzinfo=UTC)
    seconds = 0.0
    if clock is not None:
        seconds = clock.hour * 3600 + clock.minute * 60 + clock.second + clock.microsecond / 1e6
    notes.append("the start is local time without a time zone, taken as UTC")
    return round(midnight.timestamp()) * 10**9 + round(seconds * 1e6) * 1000


def _comments(header: Any) -> list[str]:
    return [f"comment in the header: {line}" for line in (header.comments or [])[:20] if line]


def _read_annotations(base: Path, frame_rate: float, notes: list[str]) -> tuple[Marker, ...]:
    """Read rhythm changes, comments and other annotations that are no beats."""
    markers: list[Marker] = []
    for file in sorted(base.parent.iterdir()):
        ending = file.suffix[1:]
        if file.name != f"{base.name}.{ending}" or not _ANNOTATOR.fullmatch(ending):
            continue
        if not file.is_file() or file.stat().st_size < 2:
            continue
        if file.stat().st_size > 200_000_000:
            notes.append(f"{file.name} is too large to be annotations and was left out")
            continue
        try:
            with reader_errors(file, "WFDB annotations"):
                found, n_beats = _read_annotator(base, ending, frame_rate)
        except RecordingError as error:  # the signals are sound; what is lost is said
            notes.append(f"annotations are left out: {error}")
            continue
        if n_beats:
            notes.append(f"{file.name}: {n_beats} annotations of beats and waves are not imported")
        markers += found
    if len(markers) > _MAX_MARKERS:
        notes.append(f"only the first {_MAX_MARKERS} of {len(markers)} annotations are imported")
    return tuple(sorted(markers, key=lambda marker: marker.onset)[:_MAX_MARKERS])


def _require_known_notes(file: Path) -> None:
    """Refuse notes about the annotator that wfdb does not know: it would read them for ever."""
    content = file.read_bytes()
    kinds = ""
    for found in _ABOUT.finditer(content):
        low, high = found[1]
        start = found.start() + 2
        note = content[start : start + low + 256 * (high & 3)]
        if note == b"## annotation type definitions":
            kinds += "d"
        elif note == b"## end of definitions":
            kinds += "e"
        else:
            kinds += "t" if re.match(rb"## time resolution: \d", note) else "x"
    if not _ABOUT_IN_ORDER.fullmatch(kinds):
        raise RecordingError(f"{file}: its notes that begin with '## ' are none that WFDB defines")


def _read_annotator(base: Path, ending: str, frame_rate: float) -> tuple[list[Marker], int]:
    """Return an annotator's markers and how many beats and waves it marked."""
    import wfdb

    _require_known_notes(Path(f"{base}.{ending}"))
    annotations = wfdb.rdann(str(base), ending)
    rate = float(annotations.fs or frame_rate)
    markers, n_beats = [], 0
    texts = annotations.aux_note or [""] * len(annotations.sample)
    for sample, symbol, aux in zip(annotations.sample, annotations.symbol, texts, strict=True):
        text = aux.strip("\x00 ")
        if symbol in _BEATS | _WAVES and not text:
            n_beats += 1
            continue
        payload = {"annotator": ending, "symbol": symbol}
        onset = max(0.0, float(sample) / rate)
        markers.append(Marker(onset, text or f"WFDB {symbol}", payload=payload))
    return markers, n_beats
