"""Polar Measurement Data: data frames, and the answers of the control point."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.decoders.results import (
    MalformedError,
    Result,
    Samples,
    Trouble,
    UnsupportedError,
)

MEASUREMENTS: Final = {
    0: "ECG", 1: "PPG", 2: "ACC", 3: "PPI", 5: "gyroscope", 6: "magnetometer",
    7: "skin temperature", 9: "SDK mode", 10: "location", 11: "pressure", 12: "temperature",
    13: "offline recording", 14: "offline heart rate",
}  # fmt: skip
STATUS: Final = (
    "ok", "invalid operation code", "invalid measurement type", "not supported", "invalid length",
    "invalid parameter", "already in this state", "invalid resolution", "invalid sample rate",
    "invalid range", "invalid MTU", "invalid number of channels", "invalid state",
    "device is in its charger", "disk full",
)  # fmt: skip
ALREADY_IN_STATE: Final = 6
INVALID_MTU: Final = 10

_HEADER: Final = 10
_ECG, _ACC = 0, 2
_COMPRESSED: Final = 0x80
_OTHER_ECG: Final = {1: "14 bit with contact bits", 2: "18 bit with tags", 3: "two leads"}
_ACC_BYTES: Final = {0: 1, 1: 2, 2: 3}
_REFERENCE_BYTES: Final = 2  # of one channel in compressed ACC of either type
_SETTING_BYTES: Final = {0: 2, 1: 2, 2: 2, 3: 4, 4: 1, 5: 4, 6: 16}
_SETTING_NAMES: Final = (
    "rate_hz", "resolution_bits", "range", "range_milli", "channels", "factor", "security",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PmdFrame:
    """One data frame.

    Attributes
    ----------
    measurement : {"ecg", "acc"}
    time_ns : int
        Nanoseconds since 2000-01-01 on the device's clock, of the last sample. The date is often
        wrong; only differences mean something.
    samples : ndarray, shape (n,) or (n, 3)
        Microvolt, or milli-g; floating point where a factor was applied.
    """

    measurement: Literal["ecg", "acc"]
    time_ns: int
    samples: NDArray[Any]


@dataclass(frozen=True)
class PmdReply:
    """Answer of the control point.

    Attributes
    ----------
    operation, measurement, status : int
    status_text : str
        ``"ok"``, or what is wrong; ``"unknown 99"`` for a status nobody documented.
    more : bool
        Whether the settings go on in a further answer.
    settings : dict
        Settings by their name: ``rate_hz``, ``resolution_bits``, ``range``, ``range_milli``,
        ``channels``, ``factor``, each a tuple of the values on offer.
    """

    operation: int
    measurement: int
    status: int
    status_text: str
    more: bool = False
    settings: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the command was carried out."""
        return self.status == 0

    @property
    def factor(self) -> float:
        """By what compressed samples are to be multiplied; 1 where the answer names none."""
        return (self.settings.get("factor") or (1.0,))[0]


@dataclass(frozen=True)
class PmdStopped:
    """The device stopped measuring by itself, e.g. because a phone asked for it.

    Attributes
    ----------
    measurements : tuple of int
        Types that stopped.
    """

    measurements: tuple[int, ...]


def unpack_int24(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Unpack little-endian 24-bit integers, along the last axis.

    Parameters
    ----------
    data : ndarray of uint8, shape (..., 3 n)
        Bytes of one frame, or of many frames of one length.

    Returns
    -------
    ndarray of int32, shape (..., n)

    Examples
    --------
    >>> unpack_int24(np.array([[0xFB, 0xFF, 0xFF, 12, 0, 0]], dtype=np.uint8))
    array([[-5, 12]], dtype=int32)
    """
    triples = data.reshape(*data.shape[:-1], -1, 3)
    wide = np.zeros((*triples.shape[:-1], 4), dtype=np.uint8)
    wide[..., 1:] = triples
    # In the upper three bytes of a word the sign comes for free; the shift keeps it.
    result: NDArray[np.int32] = wide.view("<i4")[..., 0] >> 8
    return result


def decode_pmd_frame(data: bytes, factor: float = 1.0) -> PmdFrame:
    """Decode one data frame: ECG type 0, ACC types 0, 1 and 2, compressed ACC types 0 and 1.

    Parameters
    ----------
    data : bytes
    factor : float
        What the answer to the start command names for compressed samples.

    Returns
    -------
    PmdFrame

    Raises
    ------
    MalformedError
        If the length does not fit.
    UnsupportedError
        If it is a kind of frame that is not decoded; the message names it.

    References
    ----------
    Polar BLE SDK, technical documentation, Online measurement (2024).

    Examples
    --------
    >>> frame = decode_pmd_frame(bytes.fromhex("000094357700000000 00 0280FF 028000"))
    >>> frame.measurement, frame.time_ns, frame.samples.tolist()
    ('ecg', 2000000000, [-32766, 32770])
    """
    if len(data) < _HEADER:
        raise MalformedError(f"PMD frame: {len(data)} bytes, at least {_HEADER} expected")
    measurement, kind = data[0] & 0x3F, data[9]
    time_ns = int.from_bytes(data[1:9], "little")
    if measurement == _ECG and kind == 0:
        content = _content(data, 3, "ECG")
        return PmdFrame("ecg", time_ns, unpack_int24(content))
    if measurement == _ACC and kind in _ACC_BYTES:
        size = _ACC_BYTES[kind]
        content = _content(data, 3 * size, "ACC")
        flat = unpack_int24(content) if size == 3 else content.view(f"<i{size}")
        return PmdFrame("acc", time_ns, flat.reshape(-1, 3).astype(np.int32))
    if measurement == _ACC and kind in (_COMPRESSED, _COMPRESSED | 1):
        counts = decode_deltas(data[_HEADER:], 3, _REFERENCE_BYTES)
        # Compressed type 0 comes in g, type 1 in milli-g.
        unit = 1000.0 * factor if kind == _COMPRESSED else factor
        return PmdFrame("acc", time_ns, counts * unit)
    raise UnsupportedError(f"PMD {_kind_name(measurement, kind)} is not decoded")


def decode_deltas(content: bytes, channels: int, reference_bytes: int) -> NDArray[np.int64]:
    """Decode compressed samples: a reference sample, then blocks of packed differences.

    Parameters
    ----------
    content : bytes
        What follows the ten bytes of a frame's header.
    channels : int
    reference_bytes : int
        Bytes of one channel of the reference sample.

    Returns
    -------
    ndarray, shape (n, channels)

    Raises
    ------
    MalformedError
        If a block is cut off or its width is impossible.

    Examples
    --------
    >>> decode_deltas(bytes.fromhex("F1FF1400F003 0601 7B0F08"), 3, 2).tolist()
    [[-15, 20, 1008], [-20, 17, 1008]]
    """
    at = channels * reference_bytes
    if len(content) < at:
        raise MalformedError("PMD frame: the reference sample is cut off")
    reference = [
        int.from_bytes(content[i : i + reference_bytes], "little", signed=True)
        for i in range(0, at, reference_bytes)
    ]
    steps = [np.array([reference], dtype=np.int64)]
    while at < len(content):
        if at + 2 > len(content):
            raise MalformedError("PMD frame: the head of a compressed block is cut off")
        width, count = content[at], content[at + 1]
        if not 0 < width <= 32:
            raise MalformedError(f"PMD frame: differences of {width} bit")
        packed = content[at + 2 : at + 2 + math.ceil(width * count * channels / 8)]
        if 8 * len(packed) < width * count * channels:
            raise MalformedError("PMD frame: a compressed block is cut off")
        steps.append(_unpack_bits(packed, width, count * channels).reshape(count, channels))
        at += 2 + len(packed)
    result: NDArray[np.int64] = np.cumsum(np.concatenate(steps), axis=0)
    return result


def _unpack_bits(packed: bytes, width: int, count: int) -> NDArray[np.int64]:
    """Signed numbers of `width` bits, the least significant bit first."""
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), bitorder="little")
    weights = 1 << np.arange(width, dtype=np.int64)
    weights[-1] = -weights[-1]
    result: NDArray[np.int64] = bits[: width * count].reshape(count, width) @ weights
    return result


def _content(data: bytes, size: int, name: str) -> NDArray[np.uint8]:
    """Bytes behind the header, which must be whole samples of `size` bytes."""
    content = np.frombuffer(data, dtype=np.uint8, offset=_HEADER)
    if not content.size or content.size % size:
        raise MalformedError(f"PMD {name} frame: {content.size} bytes are no samples of {size}")
    return content


def measurement_name(measurement: int) -> str:
    """Name of a measurement type; ``"type 40"`` for one that is not documented."""
    return MEASUREMENTS.get(measurement, f"type {measurement}")


def _kind_name(measurement: int, kind: int) -> str:
    name = measurement_name(measurement)
    packed = "compressed " if kind & _COMPRESSED else ""
    what = f"{packed}frame type {kind & 0x7F}"
    if measurement == _ECG and kind in _OTHER_ECG:
        what += f" ({_OTHER_ECG[kind]})"
    return f"{name} {what}"


def pmd_features(data: bytes) -> frozenset[int]:
    """Measurement types that a device offers, from the value read at its control point.

    Parameters
    ----------
    data : bytes
        ``0F`` and the mask.

    Returns
    -------
    frozenset of int
        Keys of `MEASUREMENTS`.

    Raises
    ------
    MalformedError
        If it is no feature mask.

    Examples
    --------
    >>> sorted(measurement_name(kind) for kind in pmd_features(bytes.fromhex("0F0500")))
    ['ACC', 'ECG']
    """
    if len(data) < 2 or data[0] != 0x0F:
        raise MalformedError("PMD features: should begin with 0F and have a mask")
    mask = int.from_bytes(data[1:3], "little")
    return frozenset(kind for bit, kind in _FEATURE_BITS.items() if mask >> bit & 1)


_FEATURE_BITS: Final = {
    0: 0, 1: 1, 2: 2, 3: 3, 5: 5, 6: 6, 7: 7, 9: 9, 10: 10, 11: 11, 12: 12, 13: 13, 14: 14,
}  # fmt: skip


def parse_pmd_settings(data: bytes) -> dict[str, tuple[float, ...]]:
    """Parse a list of settings.

    Parameters
    ----------
    data : bytes
        Type, number of values, values; repeated.

    Returns
    -------
    dict
        Values on offer, by the name of the setting.

    Raises
    ------
    MalformedError
        If a setting is unknown or cut off.

    Examples
    --------
    >>> parse_pmd_settings(bytes.fromhex("00018200 01010E00"))
    {'rate_hz': (130,), 'resolution_bits': (14,)}
    """
    found: dict[str, tuple[float, ...]] = {}
    at = 0
    while at < len(data):
        if data[at] not in _SETTING_BYTES or at + 2 > len(data):
            raise MalformedError(f"PMD settings: type {data[at]} is unknown or cut off")
        kind, count = data[at], data[at + 1]
        size = _SETTING_BYTES[kind]
        at += 2
        if at + size * count > len(data):
            raise MalformedError(f"PMD settings: {_SETTING_NAMES[kind]} is cut off")
        words = [data[i : i + size] for i in range(at, at + size * count, size)]
        at += size * count
        if _SETTING_NAMES[kind] == "factor":
            found["factor"] = tuple(_float32(word) for word in words)
        else:
            found[_SETTING_NAMES[kind]] = tuple(int.from_bytes(word, "little") for word in words)
    return found


def _float32(word: bytes) -> float:
    value: float = struct.unpack("<f", word)[0]
    if not math.isfinite(value) or value == 0:
        raise MalformedError(f"PMD settings: a factor of {value}")
    return value


def parse_pmd_reply(data: bytes) -> PmdReply | PmdStopped:
    """Parse an indication of the control point.

    Parameters
    ----------
    data : bytes
        ``F0``, operation, type, status and maybe settings; or ``01`` and the types of
        measurement that the device stopped by itself.

    Returns
    -------
    PmdReply or PmdStopped

    Raises
    ------
    MalformedError
        If it is neither.

    Examples
    --------
    >>> parse_pmd_reply(bytes.fromhex("F0 02 00 06")).status_text
    'already in this state'
    """
    if data[:1] == b"\x01":
        return PmdStopped(tuple(kind & 0x3F for kind in data[1:]))
    if data[:1] != b"\xf0" or len(data) < 4:
        raise MalformedError(f"PMD control point: '{data[:8].hex(' ')}' is no answer")
    operation, measurement, status = data[1], data[2] & 0x3F, data[3]
    text = STATUS[status] if status < len(STATUS) else f"unknown {status}"
    more = len(data) > 4 and bool(data[4])
    settings: dict[str, tuple[float, ...]] = {}
    # A started measurement may close with one reserved byte, which is no setting.
    if status == 0 and len(data) > 6:
        settings = parse_pmd_settings(data[5:])
    return PmdReply(operation, measurement, status, text, more, settings)


class PmdDecoder:
    """Samples of ECG and acceleration, each with the strap's time of the last one in seconds.

    Seconds since 2000 in float64 are exact to 0.12 µs until 2034 and to 0.24 µs until 2068, far
    below a sample's 7.7 ms and the clock's drift. Frames are passed on as they come, even two with
    one stamp or one that goes back; that is told as trouble, and what it means is decided on
    reading.

    Parameters
    ----------
    ecg, acc : str or None
        Stream of the ECG and of the acceleration; None where it is not wanted.
    ecg_dtype, acc_dtype : str
        Stored number types.

    Attributes
    ----------
    factor : float
        Factor of compressed samples; set it from the answer to the start command.
    """

    def __init__(
        self,
        ecg: str | None = "ecg",
        acc: str | None = "acc",
        ecg_dtype: str = "int32",
        acc_dtype: str = "int16",
    ) -> None:
        self._streams = {"ecg": ecg, "acc": acc}
        self._dtypes = {"ecg": np.dtype(ecg_dtype), "acc": np.dtype(acc_dtype)}
        self._last_ns: dict[str, int] = {}
        self.factor = 1.0

    def feed(self, data: bytes, t_received: float) -> list[Result]:  # noqa: ARG002  (protocol)
        """Decode one notification; never raises."""
        try:
            frame = decode_pmd_frame(bytes(data), self.factor)
        except UnsupportedError as error:
            return [Trouble("unsupported", str(error))]
        except MalformedError as error:
            return [Trouble("malformed", str(error))]
        stream, dtype = self._streams[frame.measurement], self._dtypes[frame.measurement]
        if stream is None:
            return []
        values = _fitting(frame.samples, dtype)
        if values is None:
            return [Trouble("malformed", f"PMD {stream} frame: a sample does not fit {dtype}")]
        found: list[Result] = self._stamp_troubles(frame)
        found.append(Samples(stream, values, frame.time_ns / 1e9))
        return found

    def reset(self) -> None:
        """Forget the last time stamps."""
        self._last_ns.clear()

    def _stamp_troubles(self, frame: PmdFrame) -> list[Result]:
        """Tell of a stamp that did not go forward."""
        step = frame.time_ns - self._last_ns.get(frame.measurement, -1)
        self._last_ns[frame.measurement] = frame.time_ns
        if step > 0:
            return []
        what = "has the stamp of the one before" if step == 0 else f"goes back {-step / 1e9:.3f} s"
        return [Trouble("clock", f"a frame of {frame.measurement} {what}")]


def _fitting(samples: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Samples in the stored number type; None where one does not fit."""
    if dtype.kind == "f":
        return samples.astype(dtype)
    limits = np.iinfo(dtype)
    rounded = np.rint(samples) if samples.dtype.kind == "f" else samples
    if rounded.size and not (rounded.min() >= limits.min and rounded.max() <= limits.max):
        return None
    return rounded.astype(dtype)
