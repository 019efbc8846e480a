"""Empatica E4 exports: a folder or a zip of CSV files without headers."""

from __future__ import annotations

import io
import lzma
import math
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers._limits import most_unpacked
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

_MAX_FILE_BYTES = 256 * 1024 * 1024
_MAX_MEMBERS = 10_000
_MAX_RATE = 10_000.0
_MIN_START, _MAX_START = 0.0, 4e9
_DEVICE = {"maker": "Empatica", "model": "E4"}
_INTERVAL_TICK_S = 1 / 64


@dataclass(frozen=True)
class _Sensor:
    """One regularly sampled file of the export."""

    name: str
    units: str
    modality: str | None
    components: tuple[str, ...] = ()
    scale: float = 1.0
    whole: bool = False


_SENSORS = {
    "EDA.csv": _Sensor("EDA", "µS", "eda"),
    "BVP.csv": _Sensor("BVP", "", "ppg"),
    "TEMP.csv": _Sensor("TEMP", "°C", "temp"),
    "ACC.csv": _Sensor("ACC", "g", "acc", ("x", "y", "z"), 1 / 64, whole=True),
    "HR.csv": _Sensor("HR", "bpm", None),
}
_KNOWN = (*_SENSORS, "IBI.csv", "tags.csv")


def sniff(path: Path) -> bool:
    """Tell whether a folder or zip file is an Empatica E4 export; never raises.

    Parameters
    ----------
    path : Path
        Any file or folder.

    Returns
    -------
    bool
        True where it holds at least one sensor file that starts with a UNIX time.
    """
    try:
        files = _files(path)
        for name in (*_SENSORS, "IBI.csv"):
            if name in files and _starts_like_e4(files[name](256)):
                return True
    except (OSError, RecordingError):
        pass
    return False


def _starts_like_e4(head: bytes) -> bool:
    """Tell whether the first cell is a plausible UNIX time."""
    first = head.split(b"\n", 1)[0].split(b",", 1)[0]
    try:
        start = float(first)
    except ValueError:
        return False
    return 1e9 < start < _MAX_START


def read(path: Path) -> Recording:
    r"""Read an Empatica E4 export (EDA, BVP, TEMP, ACC, HR, IBI and tags, whichever are there).

    Each file keeps its own start: second 0 is the earliest of them. Beat intervals carry the time
    of the beat that ends them, and beats that the maker left out stay missing. The maker's heart
    rate is a ten-second mean and keeps no modality: it is unsuitable for reactivity.

    Parameters
    ----------
    path : Path
        The folder, or the zip file as downloaded.

    Returns
    -------
    Recording
        Acceleration stays in whole counts with scale 1/64 g.

    Raises
    ------
    RecordingError
        No E4 file there, a row that cannot be read (named by file and line), an absurd rate or
        start, a hostile zip file.

    Examples
    --------
    >>> import tempfile
    >>> from physio_hqc.importers.empatica import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "EDA.csv").write_text("1560279825.0\n4.0\n0.1\n0.2\n")
    ...     recording = read(Path(folder))
    >>> recording.channels[0].name, recording.channels[0].sfreq, recording.t0_unix_ns
    ('EDA', 4.0, 1560279825000000000)
    """
    try:
        return _read(path.parent if path.name in _KNOWN else path)
    except (OSError, zlib.error, MemoryError) as error:
        detail = " ".join(str(error).split())
        raise RecordingError(f"{path}: cannot be read ({detail})") from error


def _read(path: Path) -> Recording:
    """Read what is there, then put it on one time line."""
    files = _files(path)
    if not any(name in files for name in (*_SENSORS, "IBI.csv")):
        raise RecordingError(
            f"{path}: no Empatica E4 file in it; expected {', '.join(_KNOWN)} or some of them"
        )
    notes: list[str] = []
    tables = {
        name: table
        for name in _SENSORS
        if name in files and (table := _table(path, name, files[name](None), notes)) is not None
    }
    beats = _beats(path, files["IBI.csv"](None), notes) if "IBI.csv" in files else None
    starts = [table.start for table in tables.values()] + ([beats.start] if beats else [])
    if not starts:
        raise RecordingError(f"{path}: the Empatica E4 files in it hold no samples")
    zero = min(starts)
    channels = [_channel(name, table, zero, notes) for name, table in tables.items()]
    channels += [_beat_channel(beats, zero, notes)] if beats else []
    tags = _tags(path, files["tags.csv"](None), zero) if "tags.csv" in files else []
    return Recording(
        source=path,
        format="empatica",
        channels=tuple(channels),
        markers=tuple(tags),
        t0_unix_ns=round(zero * 1e9),
        notes=tuple(notes),
    )


# ---- folder or zip -------------------------------------------------------------------------------

_Opener = Callable[[int | None], bytes]


def _files(path: Path) -> dict[str, _Opener]:
    """Readers of the known files by name; each takes the number of bytes wanted (None: all)."""
    if path.is_dir():
        found = {name: path / name for name in _KNOWN if (path / name).is_file()}
        return {name: _from_file(file) for name, file in found.items()}
    if not path.is_file():
        raise RecordingError(f"{path}: no such file or folder")
    if not zipfile.is_zipfile(path):
        raise RecordingError(f"{path}: neither a folder nor a zip file of an Empatica E4 export")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise RecordingError(f"{path}: damaged zip file ({error})") from error
    return {name: _from_zip(path, info) for name, info in _known_members(path, members).items()}


def _from_file(file: Path) -> _Opener:
    """Read a file of the folder, within the size limit."""

    def opener(size: int | None) -> bytes:
        if size is None and file.stat().st_size > _MAX_FILE_BYTES:
            raise RecordingError(f"{file}: larger than {_MAX_FILE_BYTES} bytes; not an E4 file")
        with file.open("rb") as stream:
            return stream.read(_MAX_FILE_BYTES if size is None else size)

    return opener


def _known_members(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Pick the known files of a zip; names that lead outside it are refused."""
    if len(members) > _MAX_MEMBERS:
        raise RecordingError(f"{path}: {len(members)} files in the zip; not an E4 export")
    found: dict[str, zipfile.ZipInfo] = {}
    packed = path.stat().st_size
    for info in members:
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
            raise RecordingError(
                f"{path}: the zip names a file outside itself ({info.filename[:80]!r}); refused"
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise RecordingError(
                f"{path}: {info.filename[:80]!r} in the zip is a link to another file; refused"
            )
        if name.name not in _KNOWN or "__MACOSX" in name.parts or info.is_dir():
            continue
        if name.name in found:
            raise RecordingError(
                f"{path}: {name.name} is in the zip twice; import one recording at a time"
            )
        if info.flag_bits & 1:
            raise RecordingError(f"{path}: {name.name} in the zip is encrypted; unpack it first")
        most = min(_MAX_FILE_BYTES, most_unpacked(min(packed, info.compress_size)))
        if info.file_size > most:
            raise RecordingError(
                f"{path}: {name.name} unpacks to {info.file_size} bytes; "
                f"from {info.compress_size} bytes, at most {most} are read"
            )
        found[name.name] = info
    return found


def _from_zip(path: Path, info: zipfile.ZipInfo) -> _Opener:
    """Unpack one member in memory; the size that the zip states is not trusted."""

    def opener(size: int | None) -> bytes:
        most = min(_MAX_FILE_BYTES, most_unpacked(min(path.stat().st_size, info.compress_size)))
        wanted = most if size is None else size
        try:
            with zipfile.ZipFile(path) as archive, archive.open(info) as stream:
                content = stream.read(wanted + (size is None))
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            RuntimeError,
            ValueError,
            OSError,
        ) as error:
            raise RecordingError(f"{path}: {info.filename} cannot be unpacked ({error})") from error
        if size is None and len(content) > most:
            raise RecordingError(f"{path}: {info.filename} unpacks to more than its size limit")
        return content

    return opener


# ---- one file ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Start (UNIX time, s), rate (Hz; 0 where the file has none) and rows of one file."""

    start: float
    sfreq: float
    rows: NDArray[np.float64]


def _rows(path: Path, name: str, content: bytes, first: int, columns: int) -> NDArray[np.float64]:
    """Numbers of the lines from `first` on (counted from 0); every cell must be one."""
    body = content.split(b"\n", first)[first] if content.count(b"\n") >= first else b""
    if not body.strip():
        return np.empty((0, columns))
    table = _numbers(body, columns)
    if table is None:
        line, text = _first_bad_line(body, columns)
        raise RecordingError(
            f"{path}: {name} line {first + line} is not {columns} number(s): '{text}'; "
            "correct or remove the line"
        )
    return table


def _numbers(body: bytes, columns: int) -> NDArray[np.float64] | None:
    """Rows of finite numbers; None where a cell or the number of cells is not as it should be."""
    if body.lstrip().split(b"\n", 1)[0].count(b",") != columns - 1 or b'"' in body:
        return None
    try:
        table = pd.read_csv(
            io.BytesIO(body),
            header=None,
            names=list(range(columns)),
            index_col=False,
            dtype=np.float64,
            skipinitialspace=True,
            float_precision="round_trip",
        )
    except (ValueError, OverflowError):
        return None
    numbers: NDArray[np.float64] = table.to_numpy()
    return numbers if np.isfinite(numbers).all() else None


def _first_bad_line(body: bytes, columns: int) -> tuple[int, str]:
    """Line (counted from 1) that is not `columns` finite numbers, and its start."""
    lines = body.split(b"\n")
    for number, line in enumerate(lines, start=1):
        cells = line.split(b",")
        if line.strip() and not (len(cells) == columns and all(map(_is_finite, cells))):
            return number, line.strip().decode("utf-8", "replace")[:40]
    return len(lines), ""


def _is_finite(cell: bytes) -> bool:
    """Tell whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _first_number(path: Path, name: str, content: bytes, line: int) -> float:
    """First cell of a header line."""
    lines = content.split(b"\n", line + 1)
    cell = lines[line].split(b",")[0] if line < len(lines) else b""
    if not _is_finite(cell):
        what = "start time" if line == 0 else "rate"
        shown = cell.strip().decode("utf-8", "replace")[:40]
        raise RecordingError(f"{path}: {name} line {line + 1}: '{shown}' is no {what}")
    return float(cell)


def _start(path: Path, name: str, content: bytes) -> float:
    """UNIX time in the first line."""
    start = _first_number(path, name, content, 0)
    if not _MIN_START < start < _MAX_START:
        raise RecordingError(f"{path}: {name} line 1: {start:g} is no UNIX time in seconds")
    return start


def _table(path: Path, name: str, content: bytes, notes: list[str]) -> _Table | None:
    """One regularly sampled file; None where it holds no samples."""
    if not content.strip():
        notes.append(f"{name} is empty")
        return None
    start = _start(path, name, content)
    sfreq = _first_number(path, name, content, 1)
    if not 0 < sfreq <= _MAX_RATE:
        raise RecordingError(f"{path}: {name} line 2: a rate of {sfreq:g} Hz makes no sense")
    rows = _rows(path, name, content, 2, len(_SENSORS[name].components) or 1)
    if not len(rows):
        notes.append(f"{name} holds no samples")
        return None
    return _Table(start, sfreq, rows)


def _channel(name: str, table: _Table, zero: float, notes: list[str]) -> Channel:
    """Regular channel of one file, at its own offset from the common start."""
    sensor = _SENSORS[name]
    samples: NDArray[Any] = table.rows if sensor.components else table.rows[:, 0]
    if sensor.whole and np.abs(samples).max() < 2**15 and np.all(samples == np.rint(samples)):
        samples = samples.astype(np.int16)
    if sensor.name == "HR":
        notes.append("HR is the maker's ten-second mean: do not use it for reactivity")
    if sensor.name == "EDA":
        warm_up = int(np.argmax(samples != 0)) if samples.any() else len(samples)
        if warm_up:
            notes.append(f"EDA starts with {warm_up} samples of zero: the sensor warming up")
    return Channel(
        name=sensor.name,
        units=sensor.units,
        sfreq=table.sfreq,
        segments=(Segment(t_start=table.start - zero, samples=samples),),
        scale=sensor.scale,
        modality=sensor.modality,
        components=sensor.components,
        device=dict(_DEVICE),
    )


def _beats(path: Path, content: bytes, notes: list[str]) -> _Table | None:
    """Beat intervals: seconds since the start, duration in seconds."""
    if not content.strip():
        notes.append("IBI.csv is empty")
        return None
    start = _start(path, "IBI.csv", content)
    rows = _rows(path, "IBI.csv", content, 1, 2)
    if not len(rows):
        notes.append("IBI.csv holds no intervals")
        return None
    back = np.flatnonzero(np.diff(rows[:, 0]) < 0)
    if back.size:
        raise RecordingError(f"{path}: IBI.csv line {back[0] + 3}: time runs back")
    return _Table(start, 0.0, rows)


def _beat_channel(table: _Table, zero: float, notes: list[str]) -> Channel:
    """Irregular channel of beat intervals, each at the beat that ends it."""
    times = table.rows[:, 0] + (table.start - zero)
    intervals = np.ascontiguousarray(table.rows[:, 1])
    breaks = int(np.sum(np.abs(np.diff(times) - intervals[1:]) > _INTERVAL_TICK_S / 2))
    if breaks:
        notes.append(
            f"IBI: beats are missing at {breaks} places; intervals on either side of one are not "
            "neighbors"
        )
    return Channel(
        name="IBI",
        units="s",
        sfreq=0.0,
        segments=(Segment(t_start=float(times[0]), samples=intervals),),
        modality="rr",
        times=times,
        device=dict(_DEVICE),
    )


def _tags(path: Path, content: bytes, zero: float) -> list[Marker]:
    """Button presses."""
    stamps = np.sort(_rows(path, "tags.csv", content, 0, 1)[:, 0])
    return [
        Marker(onset=float(stamp - zero), label="tag", payload={"number": number})
        for number, stamp in enumerate(stamps, start=1)
    ]
