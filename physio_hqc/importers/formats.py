"""Which formats can be read, how a file is told to be one of them, and the one guarded way in.

A new importer is a module with ``read(path: Path) -> Recording`` and one line in `FORMATS`.
"""

from __future__ import annotations

import configparser
import csv
import importlib
import io
import itertools
import logging
import lzma
import math
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from xml.etree.ElementTree import ParseError

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers._bids_files import is_bids
from physio_hqc.importers._limits import MAX_TIME_S
from physio_hqc.importers.channels import unit_in_name
from physio_hqc.importers.recording import Channel, Recording


@dataclass(frozen=True)
class Format:
    """One readable format.

    Attributes
    ----------
    name : str
        Short name, as it appears in reports.
    description : str
        What a user calls it.
    suffixes : tuple of str
        Usual file name endings, lower case; used only where the content does not speak.
    sniff : callable
        Path -> bool: does the content look like this format? Cheap, and never loads the reader.
    module : str
        Module of this package whose ``read`` reads it; imported when first needed.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path], bool]
    module: str


_HEAD = 65536
_MAX_CHANNELS: Final = 10_000
_RATES: Final = (1e-6, 1e7)
_MAX_SCALE: Final = 1e30
_MAX_VALUE: Final = 1e200
_LONGEST_NAME: Final = 300
_HDF5 = b"\x89HDF\r\n\x1a\n"
_FIFF_FILE_ID = struct.pack(">iii", 100, 31, 20)
_E4_FILES = frozenset({"EDA.csv", "BVP.csv", "ACC.csv", "TEMP.csv", "IBI.csv", "HR.csv"})


def _head(path: Path, size: int = _HEAD) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(size)


def _is_xdf(path: Path) -> bool:
    return _head(path, 4) == b"XDF:" or (
        path.name.lower().endswith(".xdfz") and _head(path, 2) == b"\x1f\x8b"
    )


def _is_edf(path: Path) -> bool:
    head = _head(path, 256)
    known = head[:8] == b"0       " or head[:8] == b"\xffBIOSEMI"
    return known and re.fullmatch(rb"\s*\d+\s*", head[184:192]) is not None


def _is_fif(path: Path) -> bool:
    zipped = path.name.lower().endswith(".fif.gz") and _head(path, 2) == b"\x1f\x8b"
    return zipped or _head(path, 12) == _FIFF_FILE_ID


def _is_brainvision(path: Path) -> bool:
    """A header, or the data or marker file beside one."""
    if re.match(rb"(\xef\xbb\xbf)?Brain ?Vision", _head(path, 64), re.IGNORECASE):
        return True
    is_part = path.suffix.lower() in (".eeg", ".vmrk", ".dat", ".avg")
    return is_part and _is_header(path.with_suffix(".vhdr"))


def _is_header(path: Path) -> bool:
    return re.match(rb"(\xef\xbb\xbf)?Brain ?Vision", _head(path, 64), re.IGNORECASE) is not None


def _is_opensignals(path: Path) -> bool:
    head = _head(path, 64)
    if head.startswith(b"# OpenSignals"):
        return True
    return head.startswith(_HDF5)


def is_csv_folder(path: Path) -> bool:
    """A folder that 'physio-hqc export --to csv' wrote."""
    return path.is_dir() and b'"physio-hqc/csv"' in _head(path / "session.json", 256)


def _is_empatica(path: Path) -> bool:
    """A folder or zip of the export, or one of its files: that stands for the whole folder."""
    if path.name in _E4_FILES and path.is_file():
        return re.match(rb"1\d{9}(\.\d+)?[\r\n,]", _head(path, 40)) is not None
    if path.is_dir():
        return len(_E4_FILES.intersection(item.name for item in path.iterdir())) >= 2
    if _head(path, 4) != b"PK\x03\x04":
        return False
    with zipfile.ZipFile(path) as archive:
        names = {Path(name).name for name in archive.namelist()}
    return len(_E4_FILES & names) >= 2


def _is_wfdb(path: Path) -> bool:
    """A header, or a signal file or record name beside one."""
    header = path if path.suffix.lower() == ".hea" else Path(f"{path.with_suffix('')}.hea")
    if not header.is_file():
        header = Path(f"{path}.hea")
    if path.is_file() and header != path and path.suffix.lower() not in (".dat", ".mat", ""):
        return False
    lines = _head(header).decode("latin-1").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return re.match(r"[-\w.]+(/\d+)?\s+\d+(\s|$)", first) is not None


def _is_acqknowledge(path: Path) -> bool:
    """The format has no magic number: its first fields must make sense in one byte order."""
    head = _head(path, 24)
    if len(head) < 24:
        return False
    for order in "<>":
        version, _, channels = struct.unpack_from(f"{order}iih", head, 2)
        (sample_time,) = struct.unpack_from(f"{order}d", head, 16)
        if 30 <= version <= 1000 and 1 <= channels <= 1000 and 1e-4 < sample_time < 1e7:
            return True
    return False


def _is_table(path: Path) -> bool:
    """Text with the same delimiter in its first lines."""
    head = _head(path)
    if not head.strip() or b"\x00" in head.replace(b"\xff\xfe", b"", 1)[:2]:
        return False
    text = head.decode("utf-8-sig", errors="replace")
    if b"\x00" in head or text.count("\ufffd") > 0.01 * len(text):
        return False
    lines = [line for line in text.splitlines()[:40] if line.strip() and line[0] not in "#%"]
    if lines and re.match(r'"?sep=', lines[0], re.IGNORECASE):
        lines = lines[1:]
    if len(lines) >= 2 and any(
        lines[0].count(delimiter) > 0 and lines[0].count(delimiter) == lines[1].count(delimiter)
        for delimiter in ",;\t"
    ):
        return True
    # One column: a name, or nothing but numbers, and no word below.
    return len(lines) >= 3 and all(_is_plain_number(line) for line in lines[1:-1])


def _is_plain_number(text: str) -> bool:
    # Each digit fits one place of the pattern only: a long row of digits takes no longer.
    return re.fullmatch(r"[+-]?(?:\d*[.,])?\d+(?:[eE][+-]?\d+)?", text.strip()) is not None


# Adding an importer: write physio_hqc/importers/<module>.py with read(path) -> Recording, then add
# its line here. Order matters only where two formats share a first byte: the strictest test first.
FORMATS: Final[tuple[Format, ...]] = (
    Format("xdf", "Lab Streaming Layer recording (XDF)", (".xdf", ".xdfz"), _is_xdf, "xdf"),
    Format("edf", "EDF, EDF+ or BDF", (".edf", ".bdf"), _is_edf, "edf"),
    Format("fif", "MNE FIF", (".fif", ".fif.gz"), _is_fif, "mne_files"),
    Format("brainvision", "BrainVision", (".vhdr", ".ahdr"), _is_brainvision, "mne_files"),
    Format("opensignals", "OpenSignals", (".txt", ".h5", ".hdf5"), _is_opensignals, "opensignals"),
    Format("csv_folder", "folder of CSV tables", (".json",), is_csv_folder, "csv_folder"),
    Format("empatica", "Empatica E4 folder or zip", (".zip",), _is_empatica, "empatica"),
    Format("bids", "BIDS recording or participant's folder", (".tsv.gz",), is_bids, "bids"),
    Format("wfdb", "WFDB record (PhysioNet)", (".hea", ".dat"), _is_wfdb, "wfdb_records"),
    Format("acqknowledge", "AcqKnowledge", (".acq",), _is_acqknowledge, "acqknowledge"),
    Format(
        "csv", "CSV or TSV table with a header", (".csv", ".tsv", ".txt"), _is_table, "csv_table"
    ),
)


def detect_format(source: Path) -> Format:
    """Tell the format of a file or folder by its content; a misleading ending does not matter.

    Raises
    ------
    RecordingError
        If there is nothing there, it is a session file already, or no format fits.
    """
    with reader_errors(source, "any known format"):
        there = source.exists() or Path(f"{source}.hea").is_file()
        if not there:
            raise RecordingError(f"{source}: there is no such file or folder")
        if source.is_file() and source.stat().st_size == 0:
            raise RecordingError(f"{source}: the file is empty")
        if _is_session(source):
            raise RecordingError(f"{source} is a session file already: there is nothing to import")
        for candidate in FORMATS:
            if candidate.sniff(source):
                return candidate
    raise RecordingError(f"{source}: {_no_format(source)}")


def _no_format(source: Path) -> str:
    """Say why nothing fits, in one line."""
    lower = source.name.lower()
    for candidate in FORMATS:
        if lower.endswith(candidate.suffixes) and not source.is_dir():
            return (
                f"named like {candidate.description}, but the content is not: "
                f"damaged, cut short, or another format under that name"
            )
    names = ", ".join(candidate.description for candidate in FORMATS)
    return f"no format that can be read ({names})"


def _is_session(source: Path) -> bool:
    if _head(source, 8) != _HDF5:
        return False
    import h5py

    with reader_errors(source, "HDF5"), h5py.File(source, "r") as file:
        name = file.attrs.get("format", "")
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        return text.startswith("physio-hqc/")


def read_recording(source: str | Path, sfreq: float | None = None) -> Recording:
    """Read a vendor file or folder of any known format.

    Parameters
    ----------
    source : path-like
        File, folder (Empatica), or record name without ending (WFDB).
    sfreq : float, optional
        Rate in Hz of a CSV table that states none; every other format tells its own.

    Returns
    -------
    Recording
        Channels, markers and notes as the file has them; no unit is converted.

    Raises
    ------
    RecordingError
        If it cannot be read; one line that names file and format.

    Examples
    --------
    >>> from physio_hqc.importers import read_recording
    >>> read_recording("no_such_file.acq")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.RecordingError: no_such_file.acq: there is no such file or folder
    """
    path = Path(source)
    found = detect_format(path)
    reader = importlib.import_module(f"physio_hqc.importers.{found.module}")
    options = _options(path, found, sfreq)
    with reader_errors(path, found.description) as said:
        recording: Recording = reader.read(path, **options)
        _check(recording, path)
        channels = tuple(_named(channel) for channel in recording.channels)
        late = _late_markers(recording)
    notes = tuple(dict.fromkeys((*recording.notes, *late, *said)))
    return replace(recording, channels=channels, notes=notes)


def _named(channel: Channel) -> Channel:
    """Shorten a name or unit that is none, and take the unit from the name where none stands."""
    name, units = channel.name[:_LONGEST_NAME], channel.units[:_LONGEST_NAME]
    return replace(channel, name=name, units=units or unit_in_name(name))


def _options(path: Path, found: Format, sfreq: float | None) -> dict[str, float]:
    """Return what a reader is told by hand; a rate only where the format cannot know it."""
    if sfreq is None:
        return {}
    if found.module != "csv_table":
        raise RecordingError(f"{path}: {found.description} tells its own rate; leave --sfreq out")
    if not 0 < sfreq < float("inf"):
        raise RecordingError(f"{path}: a rate of {sfreq} Hz makes no sense")
    return {"sfreq": sfreq}


def _check(recording: Recording, path: Path) -> None:
    """Refuse what no recording can hold, whatever reader let it pass."""
    if not any(len(part.samples) for channel in recording.channels for part in channel.segments):
        raise RecordingError(f"{path}: it holds no samples")
    if len(recording.channels) > _MAX_CHANNELS:
        raise RecordingError(
            f"{path}: {len(recording.channels)} channels; at most {_MAX_CHANNELS} are read"
        )
    for channel in recording.channels:
        _check_channel(channel, path)
    for marker in recording.markers:
        sensible = abs(marker.onset) <= MAX_TIME_S and not (
            marker.duration < 0 or marker.duration > MAX_TIME_S
        )
        if not sensible:
            raise RecordingError(f"{path}: marker {marker.label[:80]!r} has no sensible time")


def _largest_scale(channel: Channel) -> float:
    """Largest scale or offset of a channel's columns; infinite where one is no number."""
    numbers = np.abs(np.concatenate([np.ravel(channel.scale), np.ravel(channel.offset)]))
    return float(numbers.max()) if np.isfinite(numbers).all() else math.inf


def _check_channel(channel: Channel, path: Path) -> None:
    """Refuse a channel whose rate, scale, times or values make no sense."""
    where = f"{path}: channel {channel.name[:80]!r}"
    rates = [part.sfreq for part in channel.segments if part.sfreq is not None]
    rates += [channel.sfreq] if channel.sfreq != 0 else []
    sensible = all(_RATES[0] <= rate <= _RATES[1] for rate in rates)
    if not (sensible and _largest_scale(channel) <= _MAX_SCALE):
        raise RecordingError(
            f"{where} states a rate of {channel.sfreq} Hz and a scale of {channel.scale}: "
            "the header is damaged"
        )
    if channel.sfreq == 0 and channel.times is None:
        raise RecordingError(f"{where} has neither a rate nor times of its own")
    starts = [part.t_start for part in channel.segments]
    ordered = all(a <= b for a, b in itertools.pairwise(starts))
    if channel.times is not None:
        ordered = bool((np.diff(channel.times) >= 0).all())
        if len(channel.times) != sum(len(part.samples) for part in channel.segments):
            raise RecordingError(f"{where} has another number of times than of samples")
        starts += channel.times[:1].tolist()
    if not (ordered and all(abs(time) <= MAX_TIME_S for time in (*starts, end_of(channel)))):
        raise RecordingError(f"{where} has no sensible times: the file is damaged")
    width = max(1, len(channel.components))
    for part in channel.segments:
        if (part.samples.shape[1:] or (1,)) != (width,):
            raise RecordingError(
                f"{where} has samples of shape {part.samples.shape}, which are not of {width} "
                "components: the file is damaged"
            )
        if part.samples.dtype.kind == "f" and _largest(part.samples) > _MAX_VALUE:
            raise RecordingError(f"{where} holds values that no sensor gives: the file is damaged")


def _largest(samples: NDArray[Any]) -> float:
    """Return the largest finite or infinite value without its sign; NaN is none."""
    low = float(np.fmin.reduce(samples, axis=None, initial=0.0))
    high = float(np.fmax.reduce(samples, axis=None, initial=0.0))
    return max(-low, high)


def _late_markers(recording: Recording) -> list[str]:
    """Say where markers lie beyond the last sample: the sign of a recording that was cut."""
    end = max(end_of(channel) for channel in recording.channels)
    slack = max((1 / channel.sfreq for channel in recording.channels if channel.sfreq), default=0)
    late = sum(marker.onset > end + slack for marker in recording.markers)
    if not late:
        return []
    return [f"{late} markers lie beyond the last sample at {end:.3f} s: was the file cut short?"]


def end_of(channel: Channel) -> float:
    """Return the time at which a channel's samples end, in s."""
    if channel.times is not None:
        return float(channel.times.max(initial=0.0))
    ends = [
        part.t_start + len(part.samples) / (part.sfreq or channel.sfreq)
        for part in channel.segments
        if len(part.samples)
    ]
    return max(ends, default=0.0)


# What readers and their libraries raise when a file is not what it claims to be.
_READER_ERRORS: Final = (
    ValueError,  # also UnicodeError, JSONDecodeError
    TypeError,
    LookupError,  # KeyError, IndexError, unknown encodings
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,  # also NotImplementedError, RecursionError
    OSError,
    EOFError,
    MemoryError,
    ImportError,
    BufferError,
    StopIteration,
    SyntaxError,  # ElementTree.ParseError
    Warning,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    configparser.Error,
    csv.Error,
    ParseError,
)
_LONGEST_MESSAGE: Final = 2000
_LIBRARY_LOGGERS: Final = ("bioread", "mne", "pyxdf", "wfdb")


class _Collector(logging.Handler):
    """Keeps what a library logs, to be passed on as notes."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name}: {_one_line(record.getMessage())}")


@contextmanager
def _quiet_libraries(said: list[str]) -> Iterator[None]:
    """Turn warnings and log lines of the libraries into notes, and drop what they print."""
    loggers = [logging.getLogger(name) for name in _LIBRARY_LOGGERS]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [_Collector(said)], False
    try:
        with warnings.catch_warnings(record=True) as caught, redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
    said += [
        _one_line(str(warning.message))
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning)
    ]


class reader_errors:  # noqa: N801 - used as a context manager, like contextlib.suppress
    """Make every failure of a reader a RecordingError of one line; what libraries say, notes.

    Parameters
    ----------
    source : Path
        What is read.
    what : str
        The format's name, for the message.

    Examples
    --------
    >>> with reader_errors(Path("x.acq"), "AcqKnowledge"):
    ...     struct.unpack("<i", b"")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.RecordingError: x.acq cannot be read as AcqKnowledge (damaged or cut \
short?): unpack requires a buffer of 4 bytes
    """

    def __init__(self, source: Path, what: str) -> None:
        self.source, self.what = source, what
        self.said: list[str] = []
        self._quiet = _quiet_libraries(self.said)

    def __enter__(self) -> list[str]:
        self._quiet.__enter__()
        return self.said

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._quiet.__exit__(None, None, None)
        if error is None:
            return
        if isinstance(error, PhysioError):
            message = _one_line(str(error), _LONGEST_MESSAGE)
            if message != str(error):  # it cites a cell with line breaks or terminal commands
                raise type(error)(message) from error
            return
        # Libraries also raise the bare class Exception, which no tuple of classes can single out.
        if isinstance(error, _READER_ERRORS) or type(error) is Exception:
            reason = _one_line(str(error)) or type(error).__name__
            raise RecordingError(
                f"{self.source} cannot be read as {self.what} (damaged or cut short?): {reason}"
            ) from error


def _one_line(text: str, longest: int = 300) -> str:
    """Return a text of a file or library as one line that a terminal can show."""
    line = " ".join(text[: 4 * longest].split())
    line = "".join(sign if sign.isprintable() else "?" for sign in line)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."
