"""OpenSignals recordings (BITalino, biosignalsplux): text files and HDF5 files.

Samples stay the whole numbers of the converter; scale and offset turn them into mV and µS by the
transfer function of the device and sensor that the header names.
"""

from __future__ import annotations

import ast
import io
import json
import math
import mmap
import re
import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment

_MAGIC = b"# OpenSignals"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_HEAP = b"GCOL\x01\x00\x00\x00"
_END = b"# EndOfHeader"
_MAX_HEADER = 1 << 20
_MAX_JSON_DEPTH = 20
_MAX_COLUMNS = 1000
_MAX_TEXT = 1 << 16
_MAX_RATE = 1e6
_MAX_CHANNEL_BYTES = 1 << 30
_MAX_DEFLATE = 200
_FREE_BYTES = 1 << 25
_FREE_CELLS = 1 << 22

_BOARD = re.compile(r"BIT(?:REV)?$")
_DIGITAL = re.compile(r"(?:DI|DO|I|O|D)\d*|digital_\d+", re.IGNORECASE)
_PLUX = {
    "bioplux",
    "bioplux_exp",
    "biosignalsplux",
    "biosignalspluxsolo",
    "channeller",
    "ddme_openbanplux",
    "rachimeter",
    "swifter",
}
_BITALINO_R = {"bitalino_rev", "bitalino_riot"}
_BITALINO_1 = {"bitalino"}
_ABOUT = ("device", "device name", "firmware version", "comments", "keywords", "mode")
_HEADER = (
    *_ABOUT,
    "sampling rate",
    "resolution",
    "sensor",
    "convertedValues",
    "digital IO",
    "date",
    "time",
)
_SENSORS = {"ECG": ("ecg", "mV"), "EDA": ("eda", "µS")}
_UNSCALED = {  # sensors whose values have no unit that a session would ask for
    "BVP": "ppg",
    "PPG": "ppg",
    "PULSE": "ppg",
    "RESP": "resp",
    "RESPIRATION": "resp",
    "RIP": "resp",
    "PZT": "resp",
}


@dataclass(frozen=True)
class _Analog:
    """One analog column as the header describes it."""

    name: str
    sensor: str
    bits: int | None
    converted: bool
    samples: NDArray[Any]


@dataclass(frozen=True)
class _Device:
    """One device of a recording with its columns."""

    address: str
    model: str
    sfreq: float
    started: str
    counter: NDArray[np.int64] | None
    counter_bits: int | None
    digital: tuple[tuple[str, NDArray[np.int64]], ...]
    analog: tuple[_Analog, ...]
    info: dict[str, Any]


def sniff(path: Path) -> bool:
    """Tell whether a file is an OpenSignals text or HDF5 recording; never raises.

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
            head = file.read(16)
        if head.startswith(_MAGIC):
            return True
        return head.startswith(_HDF5_MAGIC) and _is_opensignals_hdf5(path)
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError):
        return False


def read(path: Path) -> Recording:
    """Read an OpenSignals recording.

    ECG and EDA of BITalino and biosignalsplux are scaled to mV and µS; other sensors stay raw,
    with unit "raw". Lost frames, found through the frame counter, become gaps. A digital line that
    goes high becomes a marker that lasts until the line changes again.

    Parameters
    ----------
    path : Path
        The .txt or .h5 file; the content decides, not the name.

    Returns
    -------
    Recording
        One channel per analog column; the file's local time is taken as UTC for the wall clock.

    Raises
    ------
    RecordingError
        Not an OpenSignals file, a damaged header, columns that do not fit it, an absurd rate.

    Notes
    -----
    Transfer functions, with ADC the sample and n its number of bits. BITalino (r)evolution:
    ECG mV = (ADC/2^n - 0.5) 3.3/1.1, EDA µS = ADC/2^n 3.3/0.132. BITalino of the first
    generation: ECG the same, EDA µS = 1/(1 - ADC/2^n). biosignalsplux:
    ECG mV = (ADC/2^n - 0.5) 3.0/1.019, EDA µS = ADC/2^n 3.0/0.12.

    References
    ----------
    PLUX Wireless Biosignals, ECG and EDA sensor data sheets, and biosignalsnotebooks 0.6.

    Examples
    --------
    >>> from pathlib import Path
    >>> from physio_hqc.importers.opensignals import read
    >>> read(Path("no_such_file.txt"))
    Traceback (most recent call last):
    ...
    physio_hqc.errors.RecordingError: no_such_file.txt: no such file; give an OpenSignals file
    """
    if not path.is_file():
        raise RecordingError(f"{path}: no such file; give an OpenSignals file")
    notes: list[str] = []
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(_MAGIC):
            devices = _read_text(path, notes)
        elif head.startswith(_HDF5_MAGIC):
            devices = _read_hdf5(path)
        else:
            raise RecordingError(f"{path}: not an OpenSignals file (text or HDF5)")
    except (
        OSError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        MemoryError,
    ) as error:
        detail = " ".join(str(error).split())
        raise RecordingError(f"{path}: damaged OpenSignals file ({detail})") from error
    return _recording(path, devices, notes)


# ---- text ----------------------------------------------------------------------------------------


def _read_text(path: Path, notes: list[str]) -> list[_Device]:
    """Header and column blocks of a text file."""
    content = path.read_bytes()
    end = content.find(_END, 0, _MAX_HEADER)
    if end < 0:
        raise RecordingError(
            f"{path}: the line '{_END.decode()}' is missing; the file is cut short"
        )
    lines = content[:end].decode("utf-8", "replace").splitlines()
    text = next((line[1:].strip() for line in lines if line.lstrip("# ").startswith("{")), "")
    header = _json_object(path, text)
    if not header or not all(isinstance(entry, dict) for entry in header.values()):
        raise RecordingError(f"{path}: line 2 holds no device; the header is damaged")
    body_start = content.find(b"\n", end) + 1
    body = content[body_start:] if body_start else b""
    _name_columns(header, body)
    names = [_names(path, address, entry) for address, entry in header.items()]
    if not body.endswith(b"\n"):
        notes.append("the last row is cut short and was left out")
        body = body[: body.rfind(b"\n") + 1]
    table = _numbers(path, body, sum(map(len, names)), lines)
    rates = {_rate(path, address, entry.get("sampling rate")) for address, entry in header.items()}
    if len(rates) > 1:
        raise RecordingError(
            f"{path}: its devices have different rates ({', '.join(map(str, sorted(rates)))} Hz); "
            "import the .h5 file of the same recording"
        )
    devices, first = [], 0
    for (address, entry), columns in zip(header.items(), names, strict=True):
        block = table[:, first : first + len(columns)]
        devices.append(_text_device(path, address, entry, columns, block))
        first += len(columns)
    return devices


def _json_object(path: Path, text: str) -> dict[str, Any]:
    """Parse the header's JSON, refusing deep nesting before the parser sees it."""
    depth = deepest = 0
    # A text without its closing quote goes to the end: searched anew from each quote, it is slow.
    for mark in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*+\\?(?:"|$)', "", text)):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > _MAX_JSON_DEPTH:
        raise RecordingError(f"{path}: line 2 nests too deeply; such files are refused")
    try:
        header = json.loads(text)
    except ValueError as error:
        raise RecordingError(f"{path}: line 2 is not the JSON header ({error})") from error
    return header if isinstance(header, dict) else {}


def _name_columns(header: dict[str, Any], body: bytes) -> None:
    """Name the columns of a single device where the header, of an early version, does not.

    The counter comes first, then the digital lines, then the analog channels.
    """
    (entry,) = header.values() if len(header) == 1 else ({},)
    channels = entry.get("channels")
    if "column" in entry or not isinstance(channels, list) or not channels:
        return
    n_digital = len(body.lstrip().split(b"\n", 1)[0].rstrip().split(b"\t")) - 1 - len(channels)
    labels = entry.get("label")
    if not isinstance(labels, list) or len(labels) != len(channels):
        labels = [f"CH{number}" for number in channels]
    if 0 <= n_digital <= 16:
        digital = [f"D{number}" for number in range(1, n_digital + 1)]
        entry["column"] = ["nSeq", *digital, *map(str, labels)]


def _names(path: Path, address: str, entry: dict[str, Any]) -> list[str]:
    """Column names of one device."""
    names = entry.get("column")
    if (
        not isinstance(names, list)
        or not 0 < len(names) <= _MAX_COLUMNS
        or not all(isinstance(name, str) for name in names)
    ):
        raise RecordingError(f"{path}: the header of device {address} names no columns")
    return names


def _rate(path: Path, address: str, value: Any) -> float:
    """Sampling rate of one device."""
    try:
        rate = float(value)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not 0 < rate <= _MAX_RATE:
        raise RecordingError(f"{path}: device {address}: a rate of {value} Hz makes no sense")
    return rate


def _numbers(path: Path, body: bytes, columns: int, lines: list[str]) -> NDArray[Any]:
    """Table of the samples; the empty cell that a tab at the line's end makes is dropped."""
    first = body.lstrip().split(b"\n", 1)[0].rstrip()
    if not first:
        raise RecordingError(f"{path}: no samples below the header")
    if len(first.split(b"\t")) != columns:
        raise RecordingError(
            f"{path}: the header names {columns} columns, the first row has "
            f"{len(first.split(chr(9).encode()))}"
        )
    table = None
    rows = body.count(b"\n") + 1
    # A whole row has a digit and a tab for each column; missing cells would take memory.
    if rows * columns > max(_FREE_CELLS, len(body)):
        raise RecordingError(f"{path}: {rows} rows are too short for {columns} columns")
    try:
        table = pd.read_csv(
            io.BytesIO(body),
            sep="\t",
            header=None,
            names=range(columns + 1),
            index_col=False,
            float_precision="round_trip",  # the faster ones crash on huge exponents
        )
    except (ValueError, OverflowError):
        table = None
    kinds = () if table is None else table.dtypes.iloc[:columns]
    if table is None or table[columns].notna().any() or any(k.kind not in "if" for k in kinds):
        line, text = _first_bad_line(body, columns)
        raise RecordingError(
            f"{path}: line {len(lines) + 1 + line} is not {columns} numbers: '{text}'"
        )
    values = table[list(range(columns))]
    samples: NDArray[Any] = values.to_numpy()
    if not np.isfinite(samples).all():
        row = int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        raise RecordingError(f"{path}: line {len(lines) + 2 + row} is not {columns} numbers")
    return samples


def _first_bad_line(body: bytes, columns: int) -> tuple[int, str]:
    """Line of the table (from 1) that is not so many numbers, and its start."""
    lines = body.split(b"\n")
    for number, line in enumerate(lines, start=1):
        cells = line.rstrip().split(b"\t")
        if line.strip() and not (len(cells) == columns and all(map(_is_number, cells))):
            return number, line.strip().decode("utf-8", "replace")[:40]
    return len(lines), ""


def _is_number(cell: bytes) -> bool:
    """Tell whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in the smallest fitting integer type, other numbers as they are."""
    whole = values
    if values.dtype.kind == "f":
        if not np.abs(values).max(initial=0.0) < 2**53:
            return values
        whole = values.astype(np.int64)
        if not np.array_equal(whole, values):
            return values
    low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return whole.astype(kind)
    return whole.astype(np.int64)


def _integers(path: Path, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """Values of a counter or digital line, which are whole numbers."""
    if not np.abs(values.astype(np.float64)).max(initial=0.0) < 2**53:
        raise RecordingError(f"{path}: column {name} holds values that no counter or line has")
    return values.astype(np.int64)


def _text_device(
    path: Path, address: str, entry: dict[str, Any], columns: list[str], block: NDArray[Any]
) -> _Device:
    """Counter, digital lines and analog channels of one column block."""
    labels = entry.get("label")
    labels = labels if isinstance(labels, list) else []
    analog = [
        index
        for index, name in enumerate(columns)
        if name in labels or (name != "nSeq" and not _DIGITAL.fullmatch(name))
    ]
    if not analog:
        raise RecordingError(f"{path}: device {address} has no analog column")
    bits = _per_channel(entry.get("resolution"), columns, analog)
    converted = _per_channel(entry.get("convertedValues"), columns, analog)
    sensors = _per_channel(entry.get("sensor"), columns, analog)
    counter = columns.index("nSeq") if "nSeq" in columns else None
    resolution = entry.get("resolution")
    counter_bits = None
    if counter is not None and isinstance(resolution, list) and len(resolution) == len(columns):
        counter_bits = _bits(resolution[counter])
    return _Device(
        address=address,
        model=str(entry.get("device", "")),
        sfreq=_rate(path, address, entry.get("sampling rate")),
        started=f"{entry.get('date', '')} {entry.get('time', '')}",
        counter=None if counter is None else _integers(path, "nSeq", block[:, counter]),
        counter_bits=counter_bits,
        digital=tuple(
            (name, _integers(path, name, block[:, index]))
            for index, name in enumerate(columns)
            if index not in analog and name != "nSeq"
        ),
        analog=tuple(
            _Analog(
                name=columns[index],
                sensor=str(sensors[index] or ""),
                bits=_bits(bits[index]),
                converted=bool(converted[index]),
                samples=_compact(block[:, index]),
            )
            for index in analog
        ),
        info=_info(entry),
    )


def _per_channel(values: Any, columns: list[str], analog: list[int]) -> dict[int, Any]:
    """Values by column number: the header lists one per column or one per analog channel."""
    if not isinstance(values, list):
        return dict.fromkeys(analog, values)
    if len(values) == len(columns):
        return {index: values[index] for index in analog}
    if len(values) == len(analog):
        return dict(zip(analog, values, strict=True))
    return dict.fromkeys(analog)


def _bits(value: Any) -> int | None:
    """Resolution in bits; None where the header states none that can be."""
    try:
        bits = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return bits if 1 <= bits <= 32 else None


def _info(entry: dict[str, Any]) -> dict[str, Any]:
    """What the header says of the device, for the record."""
    found = {key: entry[key] for key in _ABOUT if entry.get(key) not in (None, "")}
    texts = {key: value[:500] for key, value in found.items() if isinstance(value, str)}
    return texts | {key: value for key, value in found.items() if isinstance(value, int)}


# ---- HDF5 ----------------------------------------------------------------------------------------


def _is_opensignals_hdf5(path: Path) -> bool:
    """Tell whether a top group has the layout of a device."""
    import h5py

    with h5py.File(path, "r") as file:
        return bool(_device_groups(file))


def _device_groups(file: Any) -> list[tuple[str, Any]]:
    """Top groups that hold a device's recording; links out of the file are not followed."""
    found = []
    for address in file:
        group = _child(file, address)
        if _is_group(group) and "sampling rate" in group.attrs and _is_group(_child(group, "raw")):
            found.append((address, group))
    return found


def _child(group: Any, name: str) -> Any:
    """Member of a group by a hard link, or None."""
    import h5py

    if name not in group or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return None
    return group[name]


def _is_group(node: Any) -> bool:
    """Tell whether a node is a group (not a dataset, not missing)."""
    import h5py

    return isinstance(node, h5py.Group)


def _read_hdf5(path: Path) -> list[_Device]:
    """All devices of an HDF5 file."""
    import h5py

    _check_heaps(path)
    with h5py.File(path, "r") as file:
        groups = _device_groups(file)
        if not groups:
            raise RecordingError(f"{path}: HDF5, but not an OpenSignals recording")
        _check_total(path, groups)
        return [_hdf5_device(path, address, group) for address, group in groups]


def _check_total(path: Path, groups: list[tuple[str, Any]]) -> None:
    """Refuse many names for one dataset: each of them would be read anew."""
    import h5py

    total = count = 0
    for _, group in groups:
        for inner in (_child(group, "raw"), _child(group, "digital")):
            for name in inner if _is_group(inner) else ():
                dataset = _child(inner, name)
                if isinstance(dataset, h5py.Dataset) and dataset.shape is not None:
                    total += math.prod(dataset.shape) * dataset.dtype.itemsize
                count += 1
    if count > _MAX_COLUMNS or total > max(_FREE_BYTES, _MAX_DEFLATE * path.stat().st_size):
        raise RecordingError(f"{path}: claims {total} bytes in {count} datasets; refused")


def _check_heaps(path: Path) -> None:
    """Refuse a file with a damaged text heap: the HDF5 library would read it for ever.

    A heap ("GCOL", version 1, its size) holds objects of 16 bytes (number, -, size) and their
    data, padded to 8 bytes; number 0 is free space, whose size includes those 16 bytes.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            if not _is_sound_heap(data, start):
                raise RecordingError(f"{path}: damaged HDF5 file (text heap at byte {start})")
            start = data.find(_HEAP, start + len(_HEAP))


def _is_sound_heap(data: mmap.mmap, start: int) -> bool:
    """Walk the objects of one heap."""
    size = int.from_bytes(data[start + 8 : start + 16], "little")
    position, end = start + 16, start + size
    if not 16 <= size <= len(data) - start:
        return False
    while position + 16 <= end:
        number, _, _, length = struct.unpack_from("<HHIQ", data, position)
        if number == 0 and length < 16:
            return False
        position += length if number == 0 else 16 + -(-length // 8) * 8
    return position <= end


def _attribute(node: Any, name: str) -> Any:
    """Attribute as plain Python values (text, number or list); None where there is none."""
    if name not in node.attrs:
        return None
    if not _is_plain(node.attrs.get_id(name)):
        raise ValueError(f"attribute '{name}' of {node.name} is damaged")
    value = node.attrs[name]
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value
        ]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _is_plain(attribute: Any) -> bool:
    """Tell whether an attribute is a small number, text or list of them.

    The HDF5 library can crash or hang on one whose type and stored size do not belong together.
    """
    from h5py import h5t

    kind, count = attribute.get_type(), math.prod(attribute.shape or (1,))
    size, stored = kind.get_size(), attribute.get_storage_size()
    if count > _MAX_COLUMNS:
        return False
    if isinstance(kind, h5t.TypeStringID):
        if kind.is_variable_str():
            return bool(stored == 16 * count)
        return bool(size <= _MAX_TEXT and stored == size * count)
    if isinstance(kind, h5t.TypeIntegerID):
        plain = kind.get_precision() == 8 * size and kind.get_offset() == 0
        return bool(plain and size in (1, 2, 4, 8) and stored == size * count)
    floats = (h5t.IEEE_F32LE, h5t.IEEE_F64LE, h5t.IEEE_F32BE, h5t.IEEE_F64BE)
    return any(kind.equal(one) for one in floats) and bool(stored == size * count)


def _hdf5_device(path: Path, address: str, group: Any) -> _Device:
    """One device of an HDF5 file."""
    entry = {name: _attribute(group, name) for name in _HEADER}
    raw = _child(group, "raw")
    names = sorted((n for n in raw if n.startswith("channel_")), key=_number_in)
    analog = []
    for position, name in enumerate(names):
        dataset = _dataset(path, raw, name)
        label = _first_text(_attribute(dataset, "label"), 0)
        sensor = _first_text(_attribute(dataset, "sensor"), 0) or _first_text(
            entry.get("sensor"), position
        )
        bits = _per_channel(entry.get("resolution"), names, list(range(len(names))))[position]
        converted = _per_channel(entry.get("convertedValues"), names, list(range(len(names))))
        analog.append(
            _Analog(
                name=label or name,
                sensor=sensor,
                bits=_bits(
                    bits if bits is not None else _last(entry.get("resolution"), position, names)
                ),
                converted=bool(converted[position]),
                samples=_compact(_values(path, dataset)),
            )
        )
    if not analog:
        raise RecordingError(f"{path}: device {address} has no channel in its group 'raw'")
    counter = _values(path, _dataset(path, raw, "nSeq")) if "nSeq" in raw else None
    return _Device(
        address=address,
        model=str(entry.get("device") or ""),
        sfreq=_rate(path, address, _scalar(entry.get("sampling rate"))),
        started=f"{entry.get('date', '')} {entry.get('time', '')}",
        counter=None if counter is None else _integers(path, "nSeq", counter),
        counter_bits=None,
        digital=_hdf5_digital(path, group, entry),
        analog=tuple(analog),
        info=_info(entry) | _uninterpreted(group),
    )


def _number_in(name: str) -> int:
    """Trailing number of a channel's name."""
    match = re.search(r"(\d{1,9})$", name)
    return int(match[1]) if match else 0


def _first_text(value: Any, position: int) -> str:
    """Text of an attribute that may be a text or a list of texts."""
    if isinstance(value, list):
        value = value[position] if position < len(value) else ""
    if not isinstance(value, str):
        return ""
    if value.startswith("["):
        # Some versions wrote the printed form of a list.
        try:
            items = ast.literal_eval(value[:1000])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
        return _first_text(items, position) if isinstance(items, list) else value
    return value.strip()


def _last(values: Any, position: int, names: list[str]) -> Any:
    """Resolution of an analog channel where the list also covers counter and digital lines."""
    if not isinstance(values, list) or len(values) < len(names):
        return None
    return values[len(values) - len(names) + position]


def _scalar(value: Any) -> Any:
    """Single entry of a one-entry list, or the value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _dataset(path: Path, group: Any, name: str) -> Any:
    """Dataset inside the file, of numbers and of a size that the file can hold."""
    import h5py

    dataset = _child(group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise RecordingError(f"{path}: {group.name}/{name} is no dataset inside the file; refused")
    shape: tuple[int, ...] = dataset.shape or ()
    if dataset.dtype.kind not in "iuf" or not (
        len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    ):
        raise RecordingError(f"{path}: {group.name}/{name} is not one column of numbers")
    size, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    if size > _MAX_CHANNEL_BYTES or max(size, chunk) > max(_FREE_BYTES, _MAX_DEFLATE * stored):
        raise RecordingError(
            f"{path}: {group.name}/{name} claims {size} bytes, {stored} are stored"
        )
    return dataset


def _values(path: Path, dataset: Any) -> NDArray[Any]:
    """Samples of a dataset, shape (n,)."""
    values: NDArray[Any] = dataset[()].reshape(-1)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RecordingError(f"{path}: {dataset.name} holds values that are no numbers")
    return values


def _hdf5_digital(
    path: Path, group: Any, entry: dict[str, Any]
) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """Digital lines, named as the text file of the same recording names them."""
    lines = _child(group, "digital")
    if not _is_group(lines):
        return ()
    names = sorted((name for name in lines if name.startswith("digital_")), key=_number_in)
    plain = dict(zip(names, names, strict=True))
    directions = entry.get("digital IO")
    if len(names) == 1:
        plain[names[0]] = "DI"
    elif isinstance(directions, list) and len(directions) == len(names):
        seen = {0: 0, 1: 0}
        for name, direction in zip(names, directions, strict=True):
            if direction in seen:
                seen[direction] += 1
                plain[name] = f"{'IO'[direction]}{seen[direction]}"
    return tuple(
        (plain[name], _integers(path, name, _values(path, _dataset(path, lines, name))))
        for name in names
    )


def _uninterpreted(group: Any) -> dict[str, Any]:
    """Number of rows in the event tables, whose columns the maker does not document."""
    import h5py

    events = _child(group, "events")
    if not _is_group(events):
        return {}
    tables = {name: _child(events, name) for name in ("digital", "sync")}
    return {
        f"events/{name} rows": int(table.shape[0])
        for name, table in tables.items()
        if isinstance(table, h5py.Dataset) and table.shape and table.shape[0]
    }


# ---- from columns to a recording -----------------------------------------------------------------


def _recording(path: Path, devices: list[_Device], notes: list[str]) -> Recording:
    """Devices on one time line; the earliest start is second 0."""
    starts = [_wall_clock(device, notes) for device in devices]
    known = [start for start in starts if start is not None]
    zero = min(known) if known else None
    channels: list[Channel] = []
    markers: list[Marker] = []
    # Rows of devices recorded together are simultaneous, whatever their start times say.
    together = len({(device.sfreq, len(device.analog[0].samples)) for device in devices}) == 1
    if together:
        starts = [zero] * len(devices)
    for device, start in zip(devices, starts, strict=True):
        shift = (start - zero) * 1e-9 if start is not None and zero is not None else 0.0
        prefix = f"{device.address} " if len(devices) > 1 else ""
        bounds, frames = _unbroken(path, device, notes)
        channels += [
            _channel(prefix, device, analog, bounds, frames, shift, notes)
            for analog in device.analog
        ]
        for name, line in device.digital:
            markers += _edges(f"{prefix}{name}", line, frames / device.sfreq + shift, notes)
    if zero is not None:
        notes.append("the file states local time without a zone; it was read as UTC")
    return Recording(
        source=path,
        format="opensignals",
        channels=tuple(channels),
        markers=tuple(sorted(markers, key=lambda marker: marker.onset)),
        t0_unix_ns=zero,
        notes=tuple(dict.fromkeys(notes)),
    )


def _wall_clock(device: _Device, notes: list[str]) -> int | None:
    """Start by the computer's clock, in ns; its parts are not padded (7:3:47.29)."""
    match = re.fullmatch(
        r"(\d{4})-(\d{1,2})-(\d{1,2}) +(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?",
        device.started.strip(),
    )
    if not match:
        notes.append(
            f"device {device.address}: start time '{device.started.strip()}' not understood"
        )
        return None
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        notes.append(f"device {device.address}: start time '{device.started.strip()}' is no date")
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int((match[7] or "0").ljust(9, "0"))


def _unbroken(
    path: Path, device: _Device, notes: list[str]
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Row ranges without a lost frame, and the frame number of every row."""
    n = len(device.analog[0].samples)
    lengths = {len(analog.samples) for analog in device.analog}
    lengths |= {len(line) for _, line in device.digital}
    if device.counter is not None:
        lengths.add(len(device.counter))
    if len(lengths) != 1 or n == 0:
        raise RecordingError(
            f"{path}: device {device.address} has no samples or columns of different length"
        )
    if device.counter is None:
        notes.append(f"device {device.address}: no frame counter, lost frames cannot be seen")
        return [(0, n)], np.arange(n)
    lost = _lost_frames(device, notes)
    frames = np.arange(n) + np.concatenate(([0], np.cumsum(lost)))
    cuts = np.concatenate(([0], np.flatnonzero(lost) + 1, [n]))
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)), frames


def _lost_frames(device: _Device, notes: list[str]) -> NDArray[np.int64]:
    """Frames missing between neighboring rows, by the counter that wraps around."""
    counter = device.counter
    if counter is None or len(counter) < 2:
        return np.zeros(0, dtype=np.int64)
    steps = np.diff(counter)
    who = f"device {device.address}"
    stuck = _stuck_from(counter)
    if stuck < len(counter):
        notes.append(
            f"{who}: the frame counter stays at {counter[-1]} from sample {stuck} on; "
            "frames lost after that cannot be seen"
        )
        steps = steps.copy()
        steps[stuck:] = 1
    modulus = _modulus(counter, device.counter_bits)
    lost = (steps - 1) % modulus if modulus else steps - 1
    # A counter that seems to jump almost one round ahead repeats or runs back instead.
    back = lost > modulus // 2 if modulus > 16 else lost < 0
    if back.any():
        notes.append(f"{who}: the frame counter repeats or runs back at {back.sum()} samples")
        lost = np.where(back, 0, lost)
    if lost.any():
        rounds = f"; losses of {modulus} frames or more show as fewer" if modulus == 16 else ""
        notes.append(
            f"{who}: {int(lost.sum())} frames were lost at {np.count_nonzero(lost)} places{rounds}"
        )
    return lost.astype(np.int64)


def _stuck_from(counter: NDArray[np.int64]) -> int:
    """Row from which the counter keeps one value to the end (its limit); its length if none."""
    moving = np.flatnonzero(counter != counter[-1])
    first = int(moving[-1]) + 1 if moving.size else 0
    return first if len(counter) - first > 2 else len(counter)


def _modulus(counter: NDArray[np.int64], bits: int | None) -> int:
    """Number of frames after which the counter starts again; 0 where it never does."""
    highest = int(counter.max())
    if bits is not None and highest < 1 << bits:
        return 1 << bits
    if not np.any(np.diff(counter) < 0):
        return 0
    # BITalino counts in 4 bits; hubs in 7, 8, 12, 15 or 16, as their firmware has it.
    return 1 << max(4, highest.bit_length())


def _channel(
    prefix: str,
    device: _Device,
    analog: _Analog,
    bounds: list[tuple[int, int]],
    frames: NDArray[np.int64],
    shift: float,
    notes: list[str],
) -> Channel:
    """One analog column with its transfer function."""
    name = f"{prefix}{analog.name}"
    plain = Channel(
        name=name,
        units="raw",
        sfreq=device.sfreq,
        segments=tuple(
            Segment(t_start=float(frames[a]) / device.sfreq + shift, samples=analog.samples[a:b])
            for a, b in bounds
        ),
        device=device.info
        | {"address": device.address, "sensor": analog.sensor, "resolution_bits": analog.bits},
    )
    sensor_name = _BOARD.sub("", analog.sensor.upper())
    sensor = _SENSORS.get(sensor_name)
    if sensor is None:
        return replace(plain, modality=_UNSCALED.get(sensor_name))
    modality, units = sensor
    if analog.converted:
        return replace(plain, modality=modality, units=units)
    if analog.bits is None:
        notes.append(f"{name}: the header states no resolution; its values stay raw")
        return plain
    in_units = _in_units(replace(plain, modality=modality, units=units), device, analog.bits, notes)
    if in_units.modality == "eda":
        _note_step(in_units, analog.bits, notes)
    return in_units


def _note_step(channel: Channel, bits: int, notes: list[str]) -> None:
    """Say where the converter's step is too coarse for skin conductance responses."""
    if bits <= 6:
        notes.append(
            f"{channel.name}: {bits} bits, too coarse to score skin conductance responses; "
            "use the level only"
        )
    elif 0.01 < channel.scale < 1:
        notes.append(
            f"{channel.name}: one step is {channel.scale:.4f} µS; "
            "smaller skin conductance responses cannot be seen"
        )


def _in_units(channel: Channel, device: _Device, bits: int, notes: list[str]) -> Channel:
    """Apply the transfer function of the device; values of an unknown device stay raw."""
    levels = float(2**bits)
    model = device.model.lower()
    ecg = channel.modality == "ecg"
    if model in _PLUX:
        formula = "(ADC/2^n - 0.5) * 3.0/1.019" if ecg else "ADC/2^n * 3.0/0.12"
        gain = 3.0 / 1.019 if ecg else 3.0 / 0.12
    elif _is_revolution(device) or (model in _BITALINO_1 and ecg):
        formula = "(ADC/2^n - 0.5) * 3.3/1.1" if ecg else "ADC/2^n * 3.3/0.132"
        gain = 3.3 / 1.1 if ecg else 3.3 / 0.132
    elif model in _BITALINO_1:
        return _first_generation_eda(channel, levels, notes)
    else:
        notes.append(f"{channel.name}: device '{device.model}' is not known; its values stay raw")
        return replace(channel, modality=None, units="raw")
    return replace(
        channel,
        scale=gain / levels,
        offset=-0.5 * gain if ecg else 0.0,
        device=channel.device | {"transfer_function": formula},
    )


def _is_revolution(device: _Device) -> bool:
    """Tell whether a BITalino is a (r)evolution board: by its name, or by firmware 5 and later.

    The firmware is written as "5.1" or as one number, 256 times the first part and the second.
    """
    if device.model.lower() in _BITALINO_R:
        return True
    stated = re.search(r"\d+", str(device.info.get("firmware version", "")))
    major = int(stated[0]) if stated else 0
    return device.model.lower() in _BITALINO_1 and (major >> 8 if major > 255 else major) >= 5


def _first_generation_eda(channel: Channel, levels: float, notes: list[str]) -> Channel:
    """Conductance of the first BITalino boards: not linear, so the values themselves change."""
    notes.append(
        f"{channel.name}: device 'bitalino' was read as a board of the first generation, "
        "EDA = 1/(1 - ADC/2^n) µS; a (r)evolution board needs another formula"
    )
    segments = []
    for segment in channel.segments:
        share = segment.samples.astype(np.float64) / levels
        conductance = np.full(share.shape, np.nan)
        np.divide(1.0, 1.0 - share, out=conductance, where=share < 1)
        segments.append(replace(segment, samples=conductance))
    return replace(
        channel,
        segments=tuple(segments),
        device=channel.device | {"transfer_function": "1/(1 - ADC/2^n)"},
    )


def _edges(
    name: str, line: NDArray[np.int64], times: NDArray[np.float64], notes: list[str]
) -> list[Marker]:
    """Stretches in which a digital line is high, each from its rising edge."""
    values, changes = line, np.flatnonzero(np.diff(line)) + 1
    if values[0] and changes.size:
        notes.append(f"digital line {name} is high from the first sample; that is no marker")
    if changes.size > max(1000, len(values) // 4):
        notes.append(f"digital line {name} changes {changes.size} times; it was not made markers")
        return []
    ends = np.append(times[changes[1:]], times[-1]) if changes.size else np.empty(0)
    return [
        Marker(
            onset=float(times[row]),
            label=name,
            duration=float(end - times[row]),
            payload={"value": int(values[row])},
        )
        for row, end in zip(changes.tolist(), ends.tolist(), strict=True)
        if values[row]
    ]
