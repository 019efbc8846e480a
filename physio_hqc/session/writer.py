"""Writing a session file: packets to streams, events, flush, close."""

from __future__ import annotations

import json
import math
import os
import re
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import physio_hqc
from physio_hqc.errors import OutputError, SessionFileError
from physio_hqc.session.format import (
    BLOCK_DTYPE,
    EVENT_DTYPE,
    EVENT_KINDS,
    FORMAT,
    FORMAT_VERSION,
    LIBVER,
    MAX_CHANNELS,
    MAX_STREAMS,
    MAX_TEXT_BYTES,
    MODALITIES,
    UNKNOWN_T0,
    BlockFlag,
)
from physio_hqc.session.timebase import MAX_RATE_ERROR

_STREAM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class SessionWriter:
    """Write one session file, packet by packet.

    All streams are declared first; the first packet or event switches the file to SWMR mode, so
    that other processes can read it while it grows and what was flushed survives a crash.

    Parameters
    ----------
    path : path-like
        File to create.
    participant_id, condition, dyad_id, role : str
        Who was recorded, in which cell of the design.
    protocol : str
        The protocol as YAML text, so that the file explains itself.
    t0_unix_ns : int, optional
        Wall-clock time of second 0; now by default, 0 where it is not known.
    session_id : str, optional
        A UUID; a random one by default.
    created_utc : str, optional
        ISO 8601; the time of second 0 by default, or now where that is not known.
    overwrite : bool
        Replace an existing file instead of refusing.
    atomic : bool
        Write into a hidden sibling and rename it on a clean close; on an error nothing is left.
        For imports and simulations. A live recording must not be atomic: it is to survive a crash.

    Raises
    ------
    OutputError
        If the file exists (without `overwrite`) or cannot be created.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> with SessionWriter(path, participant_id="P01", condition="support") as writer:
    ...     writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0)
    ...     writer.append_segment("ecg", [0.0, 0.1, 1.0, 0.1], t_start=2.0)
    ...     _ = writer.add_event(2.0, "marker", "first beat")
    >>> from physio_hqc import open_session
    >>> with open_session(path) as session:
    ...     print(session.participant_id, session.streams["ecg"].times)
    P01 [2.    2.004 2.008 2.012]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        participant_id: str = "",
        condition: str = "",
        dyad_id: str = "",
        role: str = "",
        protocol: str = "",
        t0_unix_ns: int | None = None,
        session_id: str | None = None,
        created_utc: str | None = None,
        overwrite: bool = False,
        atomic: bool = False,
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and not overwrite:
            raise OutputError(f"{self.path} exists already: choose another name, or --overwrite it")
        self._target = self._hidden_sibling() if atomic else self.path
        self._atomic = atomic
        self._streams: dict[str, _StreamWriter] = {}
        self._started = False
        t0 = time.time_ns() if t0_unix_ns is None else int(t0_unix_ns)
        attrs: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "session_id": session_id or str(uuid.uuid4()),
            "created_utc": created_utc or _iso_utc(time.time_ns() if t0 == UNKNOWN_T0 else t0),
            "t0_unix_ns": np.int64(t0),
            "participant_id": participant_id,
            "condition": condition,
            "dyad_id": dyad_id,
            "role": role,
            "protocol": protocol,
            "software": f"physio_hqc {physio_hqc.__version__}",
            "closed": False,
        }
        for name, value in attrs.items():
            if isinstance(value, str) and len(value.encode()) > 60_000:
                raise SessionFileError(f"{name} is too long for a session file (60 kB at most)")
        self._file: h5py.File | None = None
        try:
            self._create(attrs)
        except OSError as error:
            raise OutputError(f"cannot create {self.path}: {_reason(error)}") from error
        except BaseException:
            if atomic:
                self._discard()
            raise

    def _create(self, attrs: dict[str, Any]) -> None:
        self._file = h5py.File(self._target, "w", libver=LIBVER)
        self._file.attrs.update(attrs)
        self._file.create_group("streams")
        self._events = self._file.create_dataset(
            "events",
            shape=(0,),
            maxshape=(None,),
            chunks=(16,),
            dtype=EVENT_DTYPE,
            compression="gzip",
            compression_opts=1,
        )

    def _hidden_sibling(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}.part")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and self._atomic:
            self._discard()
            return
        try:
            self.close()
        except BaseException:
            # Closing may be interrupted as well: still the old file or the new one, never a half.
            if self._atomic:
                self._discard()
            raise

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the declared streams."""
        return tuple(self._streams)

    def add_stream(
        self,
        name: str,
        *,
        modality: str,
        units: str,
        sfreq: float,
        dtype: DTypeLike = "float64",
        channels: tuple[str, ...] | list[str] | None = None,
        scale: float | ArrayLike = 1.0,
        offset: float | ArrayLike = 0.0,
        device: dict[str, Any] | None = None,
        compress: bool = False,
    ) -> None:
        """Declare a stream, before the first packet.

        Parameters
        ----------
        name : str
            Letters, digits and underscores, starting with a letter.
        modality : str
            One of ``ecg bp cuff eda rr ppg resp acc temp other``.
        units : str
            Unit of the physical values; comma-separated, one per channel, where they differ.
        sfreq : float
            Nominal rate in Hz; 0 for an irregular stream, which carries its own times.
        dtype : dtype
            Number type in which the device delivers.
        channels : sequence of str, optional
            Names of the columns; one column named as the stream by default.
        scale, offset : float or array-like, shape (C,)
            physical = stored * scale + offset.
        device : dict, optional
            Anything known of the device, stored as JSON.
        compress : bool
            Compress with DEFLATE (files and simulations; a live recording stays uncompressed).

        Raises
        ------
        SessionFileError
            If a value makes no sense, the name is taken, or recording has begun.
        """
        file = self._open_file()
        if self._started:
            raise SessionFileError(f"stream {name!r} must be declared before the first packet")
        if name in self._streams:
            raise SessionFileError(f"stream {name!r} exists already")
        if not _STREAM_NAME.fullmatch(name):
            raise SessionFileError(
                f"{name!r} is no stream name: use a letter, then letters, digits, underscores"
            )
        if modality not in MODALITIES:
            raise SessionFileError(f"unknown modality {modality!r}; one of {', '.join(MODALITIES)}")
        if not (math.isfinite(sfreq) and sfreq >= 0):
            raise SessionFileError(f"stream {name!r}: a rate of {sfreq} Hz makes no sense")
        if len(self._streams) >= MAX_STREAMS:
            raise SessionFileError(f"a session holds at most {MAX_STREAMS} streams")
        number_type = np.dtype(dtype)
        if number_type.kind not in "iuf":
            raise SessionFileError(f"stream {name!r}: {number_type} is no number type")
        columns = [name] if channels is None else list(channels)
        if not 1 <= len(columns) <= MAX_CHANNELS:
            raise SessionFileError(f"stream {name!r}: {len(columns)} channels make no sense")
        group = file["streams"].create_group(name)
        group.attrs["modality"] = modality
        group.attrs["units"] = "µS" if units in ("uS", "μS") else units
        group.attrs["sfreq"] = float(sfreq)
        group.attrs["scale"] = _per_channel(scale, len(columns), name)
        group.attrs["offset"] = _per_channel(offset, len(columns), name)
        group.attrs["channels"] = json.dumps(columns, ensure_ascii=False)
        group.attrs["device"] = _json_text(device or {}, f"stream {name!r}: device")
        self._streams[name] = _StreamWriter(
            group, name, number_type, len(columns), float(sfreq), compress
        )

    def append(
        self,
        name: str,
        samples: ArrayLike,
        t_received: float,
        t_device: float = math.nan,
        flags: int = 0,
    ) -> bool:
        """Append one packet of a regular stream, with its times as measured.

        Parameters
        ----------
        name : str
            A declared stream.
        samples : array-like, shape (n,) or (n, C)
            Values as the device sent them, oldest first.
        t_received : float
            Arrival on the host's monotonic clock, in seconds since the session's start.
        t_device : float
            The device's own time of the packet's last sample, in seconds; NaN if it tells none.
        flags : int
            :class:`~physio_hqc.session.BlockFlag` values known to the caller.

        Returns
        -------
        bool
            False if the packet was a repetition of a recent one and was dropped; the next packet
            then carries the flag ``DUPLICATE_DROPPED``.

        Raises
        ------
        SessionFileError
            If the stream is unknown or the samples do not fit it.
        """
        stream = self._regular(name)
        return stream.append(samples, t_received, t_device, flags)

    def append_segment(
        self, name: str, samples: ArrayLike, t_start: float, sfreq: float | None = None
    ) -> None:
        """Append a gap-free stretch whose times are known exactly (a file, a simulation).

        Parameters
        ----------
        name : str
            A declared regular stream.
        samples : array-like, shape (n,) or (n, C)
        t_start : float
            Time of the first sample in seconds since the session's start.
        sfreq : float, optional
            True rate of the stretch, where it differs from the nominal one.

        Raises
        ------
        SessionFileError
            If the stream is unknown, the samples do not fit it, the stretch begins before the
            previous one ended, or its rate is more than 5 percent off the nominal one.
        """
        self._regular(name).append_segment(samples, float(t_start), sfreq)

    def append_irregular(
        self,
        name: str,
        times_s: ArrayLike,
        samples: ArrayLike,
        t_received: float | None = None,
        flags: int = 0,
    ) -> None:
        """Append samples that carry their own times (beat intervals, cuff readings).

        Parameters
        ----------
        name : str
            A declared irregular stream (``sfreq=0``).
        times_s : array-like, shape (n,)
            Seconds since the session's start.
        samples : array-like, shape (n,) or (n, C)
        t_received : float, optional
            Arrival of the packet; the last of `times_s` by default.
        flags : int
            :class:`~physio_hqc.session.BlockFlag` values.

        Raises
        ------
        SessionFileError
            If the stream is unknown or regular, or the shapes differ.
        """
        stream = self._stream(name)
        if stream.times is None:
            raise SessionFileError(f"stream {name!r} has a rate: append packets, not times")
        times = np.atleast_1d(np.asarray(times_s, dtype=np.float64))
        values = stream.as_samples(samples)
        if times.shape != (len(values),):
            raise SessionFileError(
                f"stream {name!r}: {times.size} times do not fit {len(values)} samples"
            )
        if not np.isfinite(times).all():
            raise SessionFileError(f"stream {name!r}: a sample without a time cannot be stored")
        if not len(values):
            return
        arrival = float(times[-1]) if t_received is None else float(t_received)
        _extend(stream.times, times)
        stream.write(values, arrival, math.nan, flags)

    def add_event(
        self,
        onset: float,
        kind: str,
        label: str,
        *,
        duration: float = 0.0,
        source: str = "",
        payload: dict[str, Any] | None = None,
    ) -> int:
        """Append an event and return its row; a NaN `duration` leaves it open.

        A label longer than the format's 256 bytes is cut and kept whole in the payload.

        Raises
        ------
        SessionFileError
            If the kind is unknown, a time makes no sense, or the payload exceeds 4096 bytes.
        """
        if kind not in EVENT_KINDS:
            raise SessionFileError(f"unknown event kind {kind!r}; one of {', '.join(EVENT_KINDS)}")
        if not math.isfinite(onset):
            raise SessionFileError(f"event {label!r}: an onset of {onset} makes no sense")
        if duration < 0 or math.isinf(duration):
            raise SessionFileError(f"event {label!r}: a duration of {duration} makes no sense")
        content = dict(payload or {})
        short = _cut(label, EVENT_DTYPE["label"].itemsize)
        if short != label:
            content["label"] = label
        text = _json_text(content, f"event {short!r}: payload") if content else ""
        if len(text.encode()) > EVENT_DTYPE["payload"].itemsize:
            raise SessionFileError(f"event {short!r}: the payload exceeds 4096 bytes of JSON")
        row = np.zeros(1, dtype=EVENT_DTYPE)
        row["onset"], row["duration"] = onset, duration
        row["kind"], row["label"] = kind.encode(), short.encode()
        row["source"] = _cut(source, EVENT_DTYPE["source"].itemsize).encode()
        row["payload"] = text.encode()
        self._start()
        _extend(self._events, row)
        return len(self._events) - 1

    def end_event(self, index: int, t_end: float) -> None:
        """Close an open event at `t_end` (seconds since the session's start)."""
        self._open_file()
        if not 0 <= index < len(self._events):
            raise SessionFileError(f"there is no event {index} to end")
        row = self._events[index]
        row["duration"] = max(0.0, t_end - row["onset"])
        self._events[index] = row

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._open_file().flush()

    def close(self) -> None:
        """Mark the session as closed and close the file; closing twice is harmless."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        with h5py.File(self._target, "r+", libver=LIBVER) as file:
            file.attrs["closed"] = True
        if self._atomic:
            self._target.replace(self.path)

    def _discard(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            self._file = None
            self._target.unlink(missing_ok=True)

    def _open_file(self) -> h5py.File:
        if self._file is None:
            raise SessionFileError(f"{self.path} is closed")
        return self._file

    def _start(self) -> None:
        file = self._open_file()
        if not self._started:
            file.flush()
            file.swmr_mode = True
            self._started = True

    def _stream(self, name: str) -> _StreamWriter:
        if name not in self._streams:
            known = ", ".join(self._streams) or "none"
            raise SessionFileError(f"no stream {name!r} was declared (declared: {known})")
        self._start()
        return self._streams[name]

    def _regular(self, name: str) -> _StreamWriter:
        stream = self._stream(name)
        if stream.times is not None:
            raise SessionFileError(f"stream {name!r} is irregular: append it with its times")
        return stream


class _StreamWriter:
    """The data sets of one stream and what is needed to append to them."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        dtype: np.dtype[Any],
        n_channels: int,
        sfreq: float,
        compress: bool,
    ) -> None:
        self.name, self.dtype, self.n_channels, self.sfreq = name, dtype, n_channels, sfreq
        # About 16 s a chunk: small enough to flush often, large enough to read a day quickly.
        rows = int(np.clip(2 ** math.ceil(math.log2(max(sfreq, 1.0) * 16)), 64, 32768))
        tail = () if n_channels == 1 else (n_channels,)
        how: dict[str, Any] = (
            {"compression": "gzip", "compression_opts": 4, "shuffle": True} if compress else {}
        )
        self.samples = group.create_dataset(
            "samples",
            shape=(0, *tail),
            maxshape=(None, *tail),
            chunks=(rows, *tail),
            dtype=dtype,
            **how,
        )
        self.blocks = group.create_dataset(
            "blocks", shape=(0,), maxshape=(None,), chunks=(256,), dtype=BLOCK_DTYPE
        )
        self.times: h5py.Dataset | None = None
        if sfreq == 0:
            self.times = group.create_dataset(
                "times", shape=(0,), maxshape=(None,), chunks=(rows,), dtype="<f8"
            )
        self._recent: list[tuple[float, bytes]] = []
        self._pending = BlockFlag(0)
        self._next_time = math.nan

    def as_samples(self, samples: ArrayLike) -> NDArray[Any]:
        """Check and convert samples to the stream's shape and number type."""
        values = np.asarray(samples)
        if values.dtype.kind not in "iufb":
            raise SessionFileError(f"stream {self.name!r}: samples must be numbers")
        if self.n_channels > 1 and values.ndim == 1:
            values = values[np.newaxis]
        if self.n_channels == 1 and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        values = np.atleast_1d(values)
        expected = 1 if self.n_channels == 1 else 2
        if values.ndim != expected or (expected == 2 and values.shape[1] != self.n_channels):
            raise SessionFileError(
                f"stream {self.name!r} has {self.n_channels} channel(s); "
                f"samples of shape {values.shape} do not fit"
            )
        if self.dtype.kind in "iu" and values.size:
            if values.dtype.kind == "f":
                raise SessionFileError(
                    f"stream {self.name!r} stores {self.dtype}; fractions would be lost"
                )
            limits = np.iinfo(self.dtype)
            if values.min() < limits.min or values.max() > limits.max:
                raise SessionFileError(f"stream {self.name!r}: a sample does not fit {self.dtype}")
        return values.astype(self.dtype, copy=False)

    def append(self, samples: ArrayLike, t_received: float, t_device: float, flags: int) -> bool:
        values = self.as_samples(samples)
        if not len(values):
            return True
        if not math.isfinite(t_received):
            raise SessionFileError(f"stream {self.name!r}: a packet without an arrival time")
        if math.isfinite(t_device):
            packet = (t_device, values.tobytes())
            if packet in self._recent:
                self._pending |= BlockFlag.DUPLICATE_DROPPED
                return False
            self._recent = [*self._recent[-15:], packet]
        self.write(values, t_received, t_device, flags)
        return True

    def append_segment(self, samples: ArrayLike, t_start: float, sfreq: float | None) -> None:
        values = self.as_samples(samples)
        n = len(values)
        if not n:
            return
        rate = self.sfreq if sfreq is None else float(sfreq)
        if not (math.isfinite(t_start) and math.isfinite(rate) and rate > 0):
            raise SessionFileError(
                f"stream {self.name!r}: start {t_start} s at {rate} Hz makes no sense"
            )
        if abs(rate / self.sfreq - 1) > MAX_RATE_ERROR:
            raise SessionFileError(
                f"stream {self.name!r}: {rate:g} Hz is too far from the nominal {self.sfreq:g} Hz"
            )
        late = t_start - self._next_time
        if late < -0.5 / rate:
            raise SessionFileError(
                f"stream {self.name!r}: a stretch at {t_start:.3f} s begins before "
                f"the previous one ended"
            )
        t_last = t_start + (n - 1) / rate
        if late <= 0.5 / rate:
            self.write(values, t_last, t_last, 0)
        else:
            # Two rows pin both offset and rate of the stretch.
            flag = BlockFlag.GAP_BEFORE if len(self.blocks) else BlockFlag(0)
            half = n - n // 2
            t_half = t_start + (half - 1) / rate
            self.write(values[:half], t_half, t_half, flag)
            if half < n:
                self.write(values[half:], t_last, t_last, 0)
        self._next_time = t_last + 1 / rate

    def write(self, values: NDArray[Any], t_received: float, t_device: float, flags: int) -> None:
        """Write samples, then the row that tells of them: a crash between leaves no false row."""
        row = np.zeros(1, dtype=BLOCK_DTYPE)
        row["first_sample"], row["n_samples"] = len(self.samples), len(values)
        row["t_received"], row["t_device"] = t_received, t_device
        row["flags"] = int(self._pending | flags)
        _extend(self.samples, values)
        _extend(self.blocks, row)
        self._pending = BlockFlag(0)


def _extend(dataset: h5py.Dataset, rows: NDArray[Any]) -> None:
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows


def _per_channel(value: float | ArrayLike, n_channels: int, name: str) -> Any:
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.ndim > 1 or (numbers.ndim == 1 and numbers.size != n_channels):
        raise SessionFileError(
            f"stream {name!r}: scale and offset need one value, or one per channel"
        )
    if not np.isfinite(numbers).all():
        raise SessionFileError(f"stream {name!r}: scale and offset must be finite")
    return float(numbers) if numbers.ndim == 0 else numbers


def _json_text(content: dict[str, Any], what: str) -> str:
    try:
        text = json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SessionFileError(f"{what} cannot be written as JSON: {error}") from error
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise SessionFileError(f"{what} is too long")
    return text


def _cut(text: str, n_bytes: int) -> str:
    """Cut text to a number of UTF-8 bytes without splitting a character."""
    clean = text.replace("\x00", "")
    return clean.encode("utf-8", "replace")[:n_bytes].decode("utf-8", "ignore")


def _iso_utc(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, tz=UTC).isoformat(timespec="milliseconds")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).splitlines()[0]
