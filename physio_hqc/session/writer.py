"""Writing a session file: packets to streams, events, flush, close."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import physio_hqc
from physio_hqc.errors import OutputError, SessionFileError
from physio_hqc.session._on_disk import FileOnDisk, let_go
from physio_hqc.session._skeleton import json_text, skeleton
from physio_hqc.session._stream_writer import StreamWriter, disk_errors, open_table
from physio_hqc.session.format import (
    EVENT_DTYPE,
    EVENT_KINDS,
    FORMAT,
    FORMAT_VERSION,
    MAX_CHANNELS,
    MAX_FACT_BYTES,
    MAX_ID_CHARACTERS,
    MAX_SFREQ,
    MAX_STREAMS,
    MAX_TIME_S,
    MIN_SFREQ,
    MODALITIES,
    STREAM_NAME,
    UNKNOWN_T0,
)

_MAX_WAITING: Final = 4096
"""Rows that may wait in memory for a flush."""
_COPIED: Final = 1 << 18
"""Samples that are copied at once."""
_LONG_FACTS: Final = 2048
_IDS: Final = ("session_id", "participant_id", "condition", "dyad_id", "role")
"""Facts longer than this are written once, at the end, instead of at every change."""


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
        A file that is being recorded is never replaced.
    atomic : bool
        Write into a hidden sibling and rename it on a clean close; on an error nothing is left.
        For imports and simulations. A live recording must not be atomic: it is to survive a crash.
    software : str
        What recorded the session; this package by default.

    Attributes
    ----------
    path : Path
    session_id : str

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
        software: str = "",
    ) -> None:
        self.path = Path(path)
        self.session_id = session_id or str(uuid.uuid4())
        self._atomic = atomic
        self._streams: dict[str, StreamWriter] = {}
        self._declared: dict[str, dict[str, Any]] = {}
        self._compressed: set[str] = set()
        self._file: h5py.File | None = None
        self._open = True
        self._events_waiting: list[NDArray[np.void]] = []
        self._n_events = 0
        self._facts_waiting: dict[str, dict[str, Any]] = {}
        t0 = time.time_ns() if t0_unix_ns is None else int(t0_unix_ns)
        self._attrs: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "session_id": self.session_id,
            "created_utc": created_utc or _iso_utc(time.time_ns() if t0 == UNKNOWN_T0 else t0),
            "t0_unix_ns": np.int64(t0),
            "participant_id": participant_id,
            "condition": condition,
            "dyad_id": dyad_id,
            "role": role,
            "protocol": protocol,
            "software": software or f"physio_hqc {physio_hqc.__version__}",
            "closed": False,
        }
        for name, value in self._attrs.items():
            if isinstance(value, str):
                _check_text(name, value)
        self._disk = FileOnDisk(self.path, atomic=atomic)
        try:
            self._disk.claim(self._skeleton(), overwrite=overwrite)
        except OSError as error:
            raise OutputError(f"cannot create {self.path}: {_reason(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and self._atomic:
            self.abandon()
            return
        try:
            self.close()
        except BaseException:
            # Closing may be interrupted as well: still the old file or the new one, never a half.
            self.abandon()
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
        self._check_open()
        if self._file is not None:
            raise SessionFileError(f"stream {name!r} must be declared before the first packet")
        if name in self._streams:
            raise SessionFileError(f"stream {name!r} exists already")
        if not STREAM_NAME.fullmatch(name):
            raise SessionFileError(
                f"{name!r} is no stream name: use a letter, then letters, digits, underscores"
            )
        if modality not in MODALITIES:
            raise SessionFileError(f"unknown modality {modality!r}; one of {', '.join(MODALITIES)}")
        if sfreq != 0 and not MIN_SFREQ <= sfreq <= MAX_SFREQ:
            raise SessionFileError(f"stream {name!r}: a rate of {sfreq} Hz makes no sense")
        if len(self._streams) >= MAX_STREAMS:
            raise SessionFileError(f"a session holds at most {MAX_STREAMS} streams")
        number_type = np.dtype(dtype)
        if number_type.kind not in "iuf":
            raise SessionFileError(f"stream {name!r}: {number_type} is no number type")
        columns = [name] if channels is None else list(channels)
        if not 1 <= len(columns) <= MAX_CHANNELS:
            raise SessionFileError(f"stream {name!r}: {len(columns)} channels make no sense")
        known = dict(device or {})
        json_text(known, f"stream {name!r}: device")
        self._declared[name] = {
            "modality": modality,
            "units": "µS" if units in ("uS", "μS") else units,
            "sfreq": float(sfreq),
            "scale": _per_channel(scale, len(columns), name),
            "offset": _per_channel(offset, len(columns), name),
            "channels": json.dumps(columns, ensure_ascii=False),
            "device": known,
        }
        self._streams[name] = StreamWriter(name, number_type, len(columns), float(sfreq))
        if compress:
            self._compressed.add(name)

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
        values = stream.as_samples(samples)
        return not self._append(stream, values, [len(values)], [t_received], [t_device], [flags])

    def append_packets(
        self,
        name: str,
        samples: ArrayLike,
        counts: ArrayLike,
        t_received: ArrayLike,
        t_device: ArrayLike,
        flags: ArrayLike,
    ) -> int:
        """Append many packets of a regular stream at once: the same as `append` for each.

        Parameters
        ----------
        name : str
            A declared stream.
        samples : array-like, shape (n,) or (n, C)
            Values of all packets, one behind the other.
        counts : array-like, shape (p,)
            Samples of each packet; their sum is n.
        t_received, t_device : array-like, shape (p,)
            Arrival, and the device's own time or NaN, of each packet's last sample, in seconds.
        flags : array-like, shape (p,)
            :class:`~physio_hqc.session.BlockFlag` values.

        Returns
        -------
        int
            Packets that were repetitions of recent ones and were dropped.

        Raises
        ------
        SessionFileError
            If the stream is unknown or something does not fit; then nothing was appended.
        OSError
            If it cannot be written: see `abandon`.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
        >>> with SessionWriter(path) as writer:
        ...     writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        ...     samples, counts = [5.0, 5.1, 5.2, 5.2], [2, 1, 1]
        ...     arrivals, stamps = [0.3, 0.6, 0.6], [0.25, 0.5, 0.5]
        ...     writer.append_packets("eda", samples, counts, arrivals, stamps, [0, 0, 0])
        1
        """
        return self._append(self._regular(name), samples, counts, t_received, t_device, flags)

    def _append(
        self,
        stream: StreamWriter,
        samples: ArrayLike,
        counts: ArrayLike,
        t_received: ArrayLike,
        t_device: ArrayLike,
        flags: ArrayLike,
    ) -> int:
        columns = (
            np.asarray(counts, dtype=np.int64),
            np.asarray(t_received, dtype=np.float64),
            np.asarray(t_device, dtype=np.float64),
            np.asarray(flags, dtype=np.uint32),
        )
        if columns[0].ndim != 1 or len({column.shape for column in columns}) != 1:
            raise SessionFileError(
                f"stream {stream.name!r}: packets need one count, two times and flags each"
            )
        n_dropped = stream.append(samples, *columns)
        self._bound_waiting(stream.n_waiting)
        return n_dropped

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
        stream = self._regular(name)
        stream.append_segment(samples, float(t_start), sfreq)
        self._bound_waiting(stream.n_waiting)

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
        if not (np.abs(times) <= MAX_TIME_S).all():
            raise SessionFileError(f"stream {name!r}: a sample without a time cannot be stored")
        if not len(values):
            return
        arrival = float(times[-1]) if t_received is None else float(t_received)
        with disk_errors():
            stream.times.extend(times)
        stream.write_packet(values, arrival, math.nan, flags)
        self._bound_waiting(stream.n_waiting)

    def copy_packets(
        self,
        name: str,
        samples: NDArray[Any],
        rows: NDArray[np.void],
        times_s: NDArray[np.float64] | None = None,
    ) -> None:
        """Append packets of another session file as they are, with the flags they have there.

        Parameters
        ----------
        name : str
            A declared stream.
        samples : ndarray, shape (n,) or (n, C)
            Stored samples of the other file, in the stream's number type.
        rows : structured ndarray, shape (p,)
            Rows of the other file's ``blocks``; they say which samples are copied.
        times_s : ndarray, shape (n,), optional
            Times of the samples of an irregular stream.
        """
        stream = self._stream(name)
        stops = np.cumsum(rows["n_samples"])
        at = 0
        while at < len(rows):
            # Packets of some 2 MB together, or one that is longer.
            done = stops[at - 1] if at else 0
            end = max(at + 1, int(np.searchsorted(stops, done + _COPIED, side="right")))
            self._copy(stream, samples, rows[at:end], times_s)
            at = end

    def _copy(
        self,
        stream: StreamWriter,
        samples: NDArray[Any],
        rows: NDArray[np.void],
        times_s: NDArray[np.float64] | None,
    ) -> None:
        n = int(rows["n_samples"].sum())
        # One long packet may be a whole recording: its samples are copied piece by piece.
        for start in range(0, n, _COPIED):
            if len(rows) == 1:
                first = int(rows["first_sample"][0])
                index: Any = slice(first + start, first + min(n, start + _COPIED))
            else:
                begin = rows["first_sample"] - np.cumsum(rows["n_samples"]) + rows["n_samples"]
                index = np.repeat(begin, rows["n_samples"]) + np.arange(n)
            times = None if times_s is None else np.asarray(times_s[index])
            stream.add_samples(stream.as_samples(samples[index]), times)
        stream.add_rows(rows.copy())
        self._bound_waiting(stream.n_waiting)

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
        if not abs(onset) <= MAX_TIME_S:
            raise SessionFileError(f"event {label!r}: an onset of {onset} makes no sense")
        if duration < 0 or duration > MAX_TIME_S:
            raise SessionFileError(f"event {label!r}: a duration of {duration} makes no sense")
        content = dict(payload or {})
        short = _cut(label, EVENT_DTYPE["label"].itemsize)
        if short != label:
            content["label"] = label
        text = json_text(content, f"event {short!r}: payload") if content else ""
        if len(text.encode()) > EVENT_DTYPE["payload"].itemsize:
            raise SessionFileError(f"event {short!r}: the payload exceeds 4096 bytes of JSON")
        row = np.zeros(1, dtype=EVENT_DTYPE)
        row["onset"], row["duration"] = onset, duration
        row["kind"], row["label"] = kind.encode(), short.encode()
        row["source"] = _cut(source, EVENT_DTYPE["source"].itemsize).encode()
        row["payload"] = text.encode()
        self._start()
        self._events_waiting.append(row)
        self._n_events += 1
        self._bound_waiting(len(self._events_waiting))
        return self._n_events - 1

    def end_event(self, index: int, t_end: float) -> None:
        """Close an open event at `t_end` (seconds since the session's start)."""
        self._check_open()
        if not 0 <= index < self._n_events:
            raise SessionFileError(f"there is no event {index} to end")
        waiting = index - (self._n_events - len(self._events_waiting))
        if waiting >= 0:
            row = self._events_waiting[waiting]
            row["duration"] = np.maximum(0.0, t_end - row["onset"])
            return
        with disk_errors():
            row = self._events.dataset[index : index + 1]
            row["duration"] = np.maximum(0.0, t_end - row["onset"])
            self._events.write(index, row)

    def update_device(self, name: str, facts: dict[str, Any]) -> None:
        """Add what was learned of a stream's device while it was recorded.

        Goes into the file with the next flush; facts of more than 2 kB are written once, at the
        end.

        Parameters
        ----------
        name : str
            A declared stream.
        facts : dict
            Replace facts of the same name; what JSON can hold.

        Raises
        ------
        SessionFileError
            If the stream is unknown or JSON cannot hold the facts.
        """
        self._check_open()
        if name not in self._streams:
            raise SessionFileError(f"no stream {name!r} was declared")
        device = self._declared[name]["device"]
        new = {key: fact for key, fact in facts.items() if key not in device or device[key] != fact}
        if not new:
            return
        json_text(device | new, f"stream {name!r}: device")
        # What the caller still changes must not change here.
        self._declared[name]["device"] = device | json.loads(json_text(new, name))
        if self._file is not None:
            self._facts_waiting.setdefault(name, {}).update(new)

    def flush(self) -> None:
        """Hand everything appended so far to the operating system: no crash of ours can take it.

        Raises
        ------
        OSError
            If the disk is full or fails; what was flushed before is safe. See `abandon`.
        """
        self._check_open()
        self._start()
        self._flush(at_end=False)

    def _flush(self, *, at_end: bool) -> None:
        """Write samples, flush, write the rows that tell of them, flush.

        Within one flush HDF5 may write rows before samples; a crash between the two would leave
        rows of samples that never came to be.
        """
        assert self._file is not None
        with disk_errors():
            self._file.flush()
            streams = [stream for stream in self._streams.values() if stream.waiting]
            facts = self._waiting_facts(at_end)
            if not (streams or self._events_waiting or facts):
                return
            for stream in streams:
                stream.write_waiting()
            if self._events_waiting:
                rows = np.concatenate(self._events_waiting)
                self._events_waiting = []
                self._events.extend(rows)
            self._facts.extend(np.frombuffer(facts, dtype=np.uint8))
            self._file.flush()

    def _waiting_facts(self, at_end: bool) -> bytes:
        """Lines of JSON with the facts that are to be written now."""
        lines = b""
        room = (MAX_FACT_BYTES if at_end else MAX_FACT_BYTES // 2) - self._facts.n
        for name, facts in list(self._facts_waiting.items()):
            short = {
                key: fact
                for key, fact in facts.items()
                if at_end or len(json.dumps(fact)) <= _LONG_FACTS
            }
            line = json_text({"stream": name, "device": short}, name).encode() + b"\n"
            if short and len(lines) + len(line) <= room:
                lines += line
                left = {key: fact for key, fact in facts.items() if key not in short}
                self._facts_waiting[name] = left
                if not left:
                    del self._facts_waiting[name]
        return lines

    def sync(self) -> None:
        """Have the file system write what was flushed to the disk (fsync).

        May be called from another thread than the one that appends, and does not hold it up.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        self._disk.sync()

    def close(self) -> None:
        """Mark the session as closed and close the file; closing twice is harmless.

        Raises
        ------
        OSError
            If the disk is full or fails; then call `abandon`.
        """
        if not self._open:
            return
        self._start()
        self._flush(at_end=True)
        assert self._file is not None
        with disk_errors():
            h5py.h5a.open(self._file.id, b"closed").write(np.array(True))
            self._file.flush()
            self._file.close()
        self._forget()
        self._disk.publish()

    def abandon(self) -> None:
        """Let go of the file as it stands on the disk, after an OSError; never raises.

        What was flushed last can be read; the session stays marked as not closed.
        """
        if not self._open:
            return
        with contextlib.suppress(Exception):
            if self._file is not None:
                let_go(self._file)
        self._forget()
        self._disk.discard()

    def _skeleton(self) -> bytes:
        return skeleton(self._attrs, self._declared, self._streams, self._compressed)

    def _forget(self) -> None:
        """Give up the open file and what waits for it."""
        self._open = False
        self._file = None
        self._events_waiting, self._facts_waiting = [], {}

    def _check_open(self) -> None:
        if not self._open:
            raise SessionFileError(f"{self.path} is closed")

    def _start(self) -> None:
        """Begin to record: from here on other processes can read the file while it grows."""
        if self._file is not None:
            return
        self._check_open()
        with disk_errors():
            self._disk.replace(self._skeleton())
            self._file = self._disk.open_growing()
        for name, stream in self._streams.items():
            stream.attach(self._file["streams"][name])
        self._events = open_table(self._file, "events")
        self._facts = open_table(self._file, "facts")

    def _bound_waiting(self, n: int) -> None:
        """Flush what waits before it grows large."""
        if n >= _MAX_WAITING:
            self.flush()

    def _stream(self, name: str) -> StreamWriter:
        if name not in self._streams:
            known = ", ".join(self._streams) or "none"
            raise SessionFileError(f"no stream {name!r} was declared (declared: {known})")
        self._start()
        return self._streams[name]

    def _regular(self, name: str) -> StreamWriter:
        stream = self._stream(name)
        if stream.is_irregular:
            raise SessionFileError(f"stream {name!r} is irregular: append it with its times")
        return stream


def _per_channel(value: float | ArrayLike, n_channels: int, name: str) -> Any:
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.ndim > 1 or (numbers.ndim == 1 and numbers.size != n_channels):
        raise SessionFileError(
            f"stream {name!r}: scale and offset need one value, or one per channel"
        )
    if not np.isfinite(numbers).all():
        raise SessionFileError(f"stream {name!r}: scale and offset must be finite")
    return float(numbers) if numbers.ndim == 0 else numbers


def _cut(text: str, n_bytes: int) -> str:
    """Cut text to a number of UTF-8 bytes without splitting a character."""
    clean = text.replace("\x00", "")
    return clean.encode("utf-8", "replace")[:n_bytes].decode("utf-8", "ignore")


def _iso_utc(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, tz=UTC).isoformat(timespec="milliseconds")


def _check_text(name: str, value: str) -> None:
    """Refuse what an attribute of a session file cannot hold."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        size = -1
    if size < 0 or "\0" in value:
        raise SessionFileError(f"{name} {value[:40]!r} holds characters that no text has")
    if name in _IDS and len(value) > MAX_ID_CHARACTERS:
        raise SessionFileError(f"{name} is too long ({MAX_ID_CHARACTERS} characters at most)")
    if size > 60_000:
        raise SessionFileError(f"{name} is too long for a session file (60 kB at most)")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).splitlines()[0]
