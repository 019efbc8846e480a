"""BrainVision and FIF recordings, read through MNE."""

from __future__ import annotations

import configparser
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._fif_tags import check_parts, check_tags
from physio_hqc.importers._limits import BoundedFile, unpacked_gzip
from physio_hqc.importers._triggers import trigger_markers
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

# MNE multiplies a BrainVision channel by this; dividing brings back the file's own unit.
_MNE_SCALES: Final = {"mV": 1e-3, "µV": 1e-6, "uV": 1e-6, "nV": 1e-9, "µS": 1e-6, "uS": 1e-6}
# FIFF unit codes that a physiological channel can have; MNE gives values in these units.
_FIFF_UNITS: Final = {
    3: "s",
    101: "Hz",
    103: "Pa",
    107: "V",
    109: "Ohm",
    110: "S",
    112: "T",
    114: "°C",
    201: "T/m",
}
_FIF_MODALITIES: Final = {"ecg": "ecg", "gsr": "eda", "resp": "resp", "temperature": "temp"}
_SKIPPED: Final = ("BAD_ACQ_SKIP", "EDGE boundary", "BAD boundary")
_MAX_VALUES: Final = 2**31
_FREE_VALUES: Final = 1 << 25
_MOST_PER_BYTE: Final = 16  # stretches that were not recorded are filled with zeros
_MAX_CHANNELS: Final = 4096


def read(path: Path) -> Recording:
    """Read a BrainVision (any of its three files) or FIF recording.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Recording
        All channels have the file's one rate. Annotations become markers; a pause in a
        BrainVision recording and a skip in a FIF file become gaps.

    Raises
    ------
    RecordingError
        If a file is missing, or a header names a file outside its folder.
    """
    if path.name.lower().endswith((".fif", ".fif.gz")) or _is_fif(path):
        return _read_fif(path)
    return _read_brainvision(path)


def _is_fif(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x00\x00\x00\x64"


def _load(raw: Any, path: Path) -> NDArray[np.float64]:
    """Return all samples, (channels, samples), once their number is known to be sensible."""
    size = sum(Path(file).stat().st_size for file in raw.filenames if file is not None)
    most = max(_FREE_VALUES, _MOST_PER_BYTE * size)
    if raw.n_times * len(raw.ch_names) > min(_MAX_VALUES, most):
        raise RecordingError(f"{path}: {raw.n_times} samples of {len(raw.ch_names)} channels "
                             f"are too many to import at once")  # fmt: skip
    values: NDArray[np.float64] = raw.get_data(verbose="ERROR")
    return values


def _smallest(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return float32 where that loses nothing, else the values as they are."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return single if np.array_equal(single, values, equal_nan=True) else np.array(values)


def _cut(values: NDArray[Any], spans: list[tuple[int, int, float]]) -> tuple[Segment, ...]:
    """Cut samples into (first, stop, start in s) stretches."""
    return tuple(Segment(start, values[a:b]) for a, b, start in spans if b > a)


def _unix_ns(start: datetime | None, notes: list[str], *, zone_known: bool) -> int | None:
    if start is None:
        notes.append("the file does not state when the recording began")
        return None
    if not zone_known:
        notes.append("the start is local time without a time zone, taken as UTC")
    since = start - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


# --- FIF ---------------------------------------------------------------------------------------


def _read_fif(path: Path) -> Recording:
    import mne

    notes: list[str] = []
    if path.name.lower().endswith(".fif"):
        check_parts(path)
        raw = mne.io.read_raw_fif(path, preload=False, verbose="ERROR")
    else:  # MNE stumbles over other endings, but not over an open file
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = unpacked_gzip(content, str(path))
        if check_tags(content, path):
            raise RecordingError(
                f"{path} goes on in another file: name all its files .fif, unpacked"
            )
        with BoundedFile(content, str(path)) as file:
            raw = mne.io.read_raw_fif(file, preload=True, verbose="ERROR")
    sfreq = float(raw.info["sfreq"])
    data = _load(raw, path)
    first = float(raw.first_time) if raw.annotations.orig_time is not None else 0.0
    annotations = [
        (float(onset) - first, float(duration), str(text))
        for onset, duration, text in zip(
            raw.annotations.onset,
            raw.annotations.duration,
            raw.annotations.description,
            strict=True,
        )
    ]
    spans = _without_skips(annotations, sfreq, data.shape[1], notes)
    channels, markers = [], []
    for i, (name, kind) in enumerate(zip(raw.ch_names, raw.get_channel_types(), strict=True)):
        units = _FIFF_UNITS.get(int(raw.info["chs"][i]["unit"]), "")
        channel = Channel(
            name=name,
            units=units,
            sfreq=sfreq,
            segments=_cut(_smallest(data[i]), spans),
            modality=_FIF_MODALITIES.get(kind) if units in ("V", "S", "°C") else None,
            device={"channel_type": kind},
        )
        channels.append(channel)
        if kind == "stim":
            markers += trigger_markers(channel)
    markers += [
        Marker(onset, text, duration=duration)
        for onset, duration, text in annotations
        if text not in _SKIPPED
    ]
    began = raw.info["meas_date"]
    t0 = _unix_ns(began, notes, zone_known=True)
    return Recording(
        source=path,
        format="fif",
        channels=tuple(channels),
        markers=tuple(sorted(markers, key=lambda marker: marker.onset)),
        t0_unix_ns=None if t0 is None else t0 + round(float(raw.first_time) * 1e9),
        notes=tuple(notes),
    )


def _without_skips(
    annotations: list[tuple[float, float, str]], sfreq: float, n: int, notes: list[str]
) -> list[tuple[int, int, float]]:
    """Return the stretches between the skips of an acquisition, which MNE fills with zeros."""
    if any(text in ("EDGE boundary", "BAD boundary") for _, _, text in annotations):
        notes.append("pieces were joined before this file was written: time across them is lost")
    skips = sorted(
        (round(onset * sfreq), round((onset + duration) * sfreq))
        for onset, duration, text in annotations
        if text == "BAD_ACQ_SKIP"
    )
    spans, start = [], 0
    for a, b in skips:
        spans.append((start, max(start, a)))
        start = max(start, b)
    spans.append((start, n))
    if skips:
        notes.append(f"{len(skips)} stretches that were not recorded become gaps")
    return [(a, b, a / sfreq) for a, b in spans]


# --- BrainVision -------------------------------------------------------------------------------


def _read_brainvision(path: Path) -> Recording:
    import mne

    notes: list[str] = []
    header = path if path.suffix.lower() in (".vhdr", ".ahdr") else path.with_suffix(".vhdr")
    if not header.is_file():
        raise RecordingError(f"{path}: its header {header.name} is not beside it")
    text = _header_text(header)
    _check_header(header, text)
    marker_file = _check_neighbors(header, text, notes)
    overrides = {} if marker_file else {"marker_fname": False}
    raw = mne.io.read_raw_brainvision(
        header, preload=False, verbose="ERROR", **({"overrides": overrides} if overrides else {})
    )
    sfreq = float(raw.info["sfreq"])
    data = _load(raw, path)
    _check_length(header, text, data.shape, notes)
    spans = _pauses(marker_file, sfreq, data.shape[1], notes)
    units = _header_units(text)
    channels = []
    for i, name in enumerate(raw.ch_names):
        unit = units.get(i + 1, "")
        values = data[i] / _MNE_SCALES.get(unit, 1.0)
        channels.append(
            Channel(name, "" if unit == "n/a" else unit, sfreq, _cut(_smallest(values), spans))
        )
    return Recording(
        source=path,
        format="brainvision",
        channels=tuple(channels),
        markers=_brainvision_markers(raw, sfreq, spans),
        t0_unix_ns=_unix_ns(raw.info["meas_date"], notes, zone_known=False),
        notes=tuple(notes),
    )


def _header_text(header: Path) -> str:
    content = header.read_bytes()[:4_000_000]
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _check_header(header: Path, text: str) -> None:
    """Refuse counts and names that make no sense, parsed as MNE parses them.

    The settings may stand in any case, section or order; all that MNE could take are checked.
    """
    codepage = re.search(r"Codepage=(.+)", text)
    encoding = codepage[1].strip() if codepage else "utf-8"
    ascii_text = bytes(range(128))
    if encoding != "ANSI" and ascii_text.decode(encoding, "replace") != ascii_text.decode("ascii"):
        raise RecordingError(f"{header}: its code page {encoding[:40]!r} is not known")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text.partition("\n")[2].partition("[Comment]")[0])
    for section in (parser[name] for name in ("DEFAULT", *parser.sections())):
        for key in ("datafile", "markerfile"):
            _require_plain_name(section.get(key, ""), header)
        for key in ("numberofchannels", "datapoints"):
            stated = section.get(key, "1")
            if not re.fullmatch(r"\s*\d{1,12}\s*", stated, re.ASCII) or (
                key == "numberofchannels" and not 1 <= int(stated) <= _MAX_CHANNELS
            ):
                raise RecordingError(f"{header}: {key} {stated[:40]!r} makes no sense")


def _require_plain_name(name: str, header: Path) -> None:
    """Refuse a name that leads out of the header's folder."""
    plain = PurePosixPath(name).name == name == PureWindowsPath(name).name
    if not name.isprintable() or name == ".." or not (plain or name == ""):
        raise RecordingError(f"{header} names {name[:80]!r}, which is not a plain file name")


def _header_units(text: str) -> dict[int, str]:
    """Return the unit of each channel by its number; MNE keeps only those that it converts."""
    section = re.search(r"^\[Channel Infos\]\s*$(.*?)(?=^\[|\Z)", text, re.M | re.S | re.I)
    rows = re.findall(r"^Ch(\d+)\s*=(.*)$", section[1] if section else "", re.M | re.I)
    units = {}
    for number, row in rows:
        cells = [cell.strip() for cell in row.split(",")]
        units[int(number)] = cells[3] if len(cells) > 3 and cells[3] else "µV"  # the default
    return units


def _check_neighbors(header: Path, text: str, notes: list[str]) -> Path | None:
    """Return the marker file; refuse files outside the header's folder."""
    named: dict[str, str] = {}
    for key in ("DataFile", "MarkerFile"):
        found = re.search(rf"^{key}\s*=\s*(.*?)\s*$", text, re.MULTILINE)
        named[key] = found[1].replace("$b", header.stem) if found else ""
        _require_plain_name(named[key], header)
    if not named["DataFile"] or not (header.parent / named["DataFile"]).is_file():
        raise RecordingError(f"{header}: its data file {named['DataFile']!r} is not beside it")
    markers = header.parent / named["MarkerFile"]
    if named["MarkerFile"] and markers.is_file():
        return markers
    sibling = header.with_suffix(".vmrk")
    if sibling.is_file():
        return sibling
    notes.append(f"the marker file {named['MarkerFile']!r} is not there: no markers")
    return None


def _check_length(header: Path, text: str, shape: tuple[int, ...], notes: list[str]) -> None:
    """Say where the data file does not hold what the header promises, or ends within a sample."""
    promised = re.search(r"^DataPoints\s*=\s*(\d+)", text, re.MULTILINE | re.IGNORECASE)
    if promised and int(promised[1]) > shape[1]:
        notes.append(f"cut short: {shape[1]} of {promised[1]} samples are there")
    name = re.search(r"^DataFile\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    width = 2 if re.search(r"^BinaryFormat\s*=\s*INT_16", text, re.M | re.I) else 4
    if name and re.search(r"^DataFormat\s*=\s*BINARY", text, re.M | re.I):
        size = (header.parent / name[1].replace("$b", header.stem)).stat().st_size
        if size % (width * shape[0]):
            notes.append("the data file ends within a sample: was it cut short?")


def _pauses(
    marker_file: Path | None, sfreq: float, n: int, notes: list[str]
) -> list[tuple[int, int, float]]:
    """Return the stretches between pauses, from the dates that "New Segment" markers carry."""
    whole = [(0, n, 0.0)]
    if marker_file is None:
        return whole
    text = marker_file.read_bytes().decode("latin-1")
    rows = re.findall(r"^Mk\d+=New Segment,[^,]*,(\d+),\d+,-?\d+(?:,(\d{20}))?\s*$", text, re.M)
    cuts = sorted((int(position) - 1, date) for position, date in rows if int(position) - 1 < n)
    if len(cuts) < 2:
        return whole
    began = [_date(date) for _, date in cuts]
    stops = [position for position, _ in cuts[1:]] + [n]
    spans, end = [], 0.0
    for (first, _), stop, start in zip(cuts, stops, began, strict=True):
        known = start is not None and began[0] is not None
        t_start = (start - began[0]).total_seconds() if start and began[0] else end
        if not known or t_start < end - 0.5 / sfreq:
            notes.append(f"the pause before sample {first} has no known length: joined without it")
            t_start = end
        spans.append((first, stop, t_start))
        end = t_start + (stop - first) / sfreq
    if cuts[0][0] > 0:
        return whole
    notes.append(f"{len(spans)} stretches with pauses between them")
    return spans


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        return None


def _brainvision_markers(
    raw: Any, sfreq: float, spans: list[tuple[int, int, float]]
) -> tuple[Marker, ...]:
    """Turn MNE's annotations ("Type/Description") into markers on the time base with pauses."""
    markers = []
    first_samples = np.array([a for a, _, _ in spans])
    for onset, duration, text in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        kind, _, label = str(text).partition("/")
        if kind == "New Segment":
            continue
        sample = round(float(onset) * sfreq)
        k = max(0, int(np.searchsorted(first_samples, sample, side="right")) - 1)
        a, _, start = spans[k]
        markers.append(
            Marker(
                onset=start + (sample - a) / sfreq,
                label=label.strip() or kind,
                duration=float(duration),
                payload={"type": kind},
            )
        )
    return tuple(sorted(markers, key=lambda marker: marker.onset))
