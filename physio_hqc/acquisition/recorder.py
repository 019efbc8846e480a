"""From the event loop to the file: a bounded queue and the one thread that writes.

Sources deliver on the event loop and never wait for the disk. The thread takes what has arrived
every quarter of a second, appends it per stream in one go and flushes, so that what a crash can
take is what arrived since; every five seconds another thread has the file system write it to the
disk (fsync), which may take its time without holding up the writing.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import OutputError, PhysioError, RecordingError, SessionFileError
from physio_hqc.session import BlockFlag, SessionWriter

FLUSH_S: Final = 0.25
SYNC_S: Final = 5.0
MAX_QUEUED: Final = 1 << 16
MAX_QUEUED_BYTES: Final = 128 << 20
_ITEM_BYTES: Final = 256
"""What a queued packet costs beside its samples."""


@dataclass(frozen=True)
class _Packet:
    stream: str
    samples: NDArray[Any]
    t_received: float
    t_device: float
    flags: int


@dataclass(frozen=True)
class _Readings:
    stream: str
    times_s: NDArray[np.float64]
    samples: NDArray[Any]
    t_received: float
    flags: int


@dataclass
class EventHandle:
    """An event on its way into the file; `index` is its row once it is there."""

    onset: float
    kind: str
    label: str
    duration: float = 0.0
    source: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    index: int | None = None


@dataclass(frozen=True)
class _EndOfEvent:
    handle: EventHandle
    t_end: float


_Item = _Packet | _Readings | EventHandle | _EndOfEvent


class Recorder:
    """Owns the queue, and the thread that writes a session file.

    Parameters
    ----------
    writer : SessionWriter
        With all streams declared. From `start` on it belongs to the thread.
    on_trouble : callable, optional
        Called from the thread with (stream, text) for a packet that could not be stored.
    on_failure : callable, optional
        Called from the thread, once, with the error that ended the writing (a full disk).
    flush_s, sync_s : float
        Longest time between two flushes, and between two calls of fsync.
    max_queued, max_queued_bytes : int
        Bounds of the queue.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> writer = SessionWriter(path)
    >>> writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
    >>> recorder = Recorder(writer)
    >>> recorder.start()
    >>> recorder.packet("eda", np.array([5.0, 5.1]), t_received=0.5)
    True
    >>> recorder.close()
    >>> from physio_hqc import open_session
    >>> with open_session(path) as session:
    ...     session.closed, session.streams["eda"].samples
    (True, array([5. , 5.1]))
    """

    def __init__(
        self,
        writer: SessionWriter,
        *,
        on_trouble: Callable[[str, str], None] | None = None,
        on_failure: Callable[[PhysioError], None] | None = None,
        flush_s: float = FLUSH_S,
        sync_s: float = SYNC_S,
        max_queued: int = MAX_QUEUED,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self.error: PhysioError | None = None
        self.n_dropped = 0
        self.n_written = 0
        self._writer = writer
        self._on_trouble = on_trouble
        self._on_failure = on_failure
        self._flush_s, self._sync_s = flush_s, sync_s
        self._max_queued, self._max_bytes = max_queued, max_queued_bytes
        self._queue: deque[_Item] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._lost_before: set[str] = set()
        self._sync_error: OSError | None = None
        self._ended_well = False
        self._thread = threading.Thread(target=self._run, name="session-writer", daemon=True)
        self._sync_thread = threading.Thread(target=self._sync, name="session-sync", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()
        self._sync_thread.start()

    def packet(
        self,
        stream: str,
        samples: NDArray[Any],
        t_received: float,
        t_device: float = math.nan,
        flags: int = 0,
    ) -> bool:
        """Queue a packet of a regular stream; False if the queue is full and it was dropped."""
        return self._put(_Packet(stream, samples, t_received, t_device, flags), samples.nbytes)

    def readings(
        self,
        stream: str,
        times_s: NDArray[np.float64],
        samples: NDArray[Any],
        t_received: float,
        flags: int = 0,
    ) -> bool:
        """Queue values of an irregular stream; False if the queue is full and they were dropped."""
        return self._put(_Readings(stream, times_s, samples, t_received, flags), samples.nbytes)

    def event(self, handle: EventHandle) -> EventHandle:
        """Queue an event and have it written at once. Events are never dropped."""
        with self._lock:
            self._queue.append(handle)
        self._wake.set()
        return handle

    def end_event(self, handle: EventHandle, t_end: float) -> None:
        """Queue the end of an event that was queued open."""
        with self._lock:
            self._queue.append(_EndOfEvent(handle, t_end))
        self._wake.set()

    @property
    def fill(self) -> float:
        """How full the queue is, from 0 to 1."""
        return max(len(self._queue) / self._max_queued, self._queued_bytes / self._max_bytes)

    def close(self, facts: dict[str, dict[str, Any]] | None = None) -> None:
        """Write what is queued and close the file.

        Parameters
        ----------
        facts : dict of str to dict, optional
            What was learned of each stream's device.

        Raises
        ------
        OutputError
            If the file cannot be written; what was flushed before is safe.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._sync_thread.join()
        if self.error is not None:
            raise self.error
        try:
            for stream, known in (facts or {}).items():
                self._writer.update_device(stream, known)
            self._writer.close()
        except OSError as error:
            self._fail(error)
            assert self.error is not None
            raise self.error from error

    def _put(self, item: _Packet | _Readings, n_bytes: int) -> bool:
        size = n_bytes + _ITEM_BYTES
        with self._lock:
            full = (
                len(self._queue) >= self._max_queued or self._queued_bytes + size > self._max_bytes
            )
            if full or self.error is not None:
                self.n_dropped += 1
                self._lost_before.add(item.stream)
                return False
            if item.stream in self._lost_before:
                self._lost_before.discard(item.stream)
                item = _after_loss(item)
            self._queue.append(item)
            self._queued_bytes += size
        return True

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.wait(self._flush_s)
                self._wake.clear()
                if self._sync_error is not None:
                    raise self._sync_error
                self._write_queued()
            self._write_queued()
            self._ended_well = True
        except (OSError, PhysioError) as error:
            self._fail(error)
        finally:
            # A bug of ours shows its traceback by itself; the recording must not go on unaware.
            if self.error is None and not self._ended_well:
                self._fail(RecordingError("the recording stopped: the writing thread broke"))

    def _write_queued(self) -> None:
        with self._lock:
            items, self._queue = self._queue, deque()
            self._queued_bytes = 0
        if not items:
            return
        packets: dict[str, list[_Packet]] = {}
        for item in items:
            if isinstance(item, _Packet):
                packets.setdefault(item.stream, []).append(item)
        for stream, group in packets.items():
            self._write_packets(stream, group)
        for item in items:
            if not isinstance(item, _Packet):
                self._write_item(item)
        self._writer.flush()
        self.n_written += len(items)

    def _write_packets(self, stream: str, group: list[_Packet]) -> None:
        try:
            self._writer.append_packets(
                stream,
                np.concatenate([item.samples for item in group]),
                np.array([len(item.samples) for item in group]),
                np.array([item.t_received for item in group]),
                np.array([item.t_device for item in group]),
                np.array([item.flags for item in group]),
            )
        except (SessionFileError, ValueError):
            # One of them does not fit its stream; the others do.
            for item in group:
                self._write_packet(item)

    def _write_packet(self, item: _Packet) -> None:
        try:
            self._writer.append(
                item.stream, item.samples, item.t_received, item.t_device, item.flags
            )
        except (SessionFileError, ValueError) as error:
            self._complain(item.stream, error)

    def _write_item(self, item: _Readings | EventHandle | _EndOfEvent) -> None:
        try:
            if isinstance(item, _Readings):
                self._writer.append_irregular(
                    item.stream, item.times_s, item.samples, item.t_received, item.flags
                )
            elif isinstance(item, EventHandle):
                item.index = self._writer.add_event(
                    item.onset,
                    item.kind,
                    item.label,
                    duration=item.duration,
                    source=item.source,
                    payload=item.payload,
                )
            elif item.handle.index is not None:
                self._writer.end_event(item.handle.index, item.t_end)
        except (SessionFileError, ValueError) as error:
            self._complain(item.stream if isinstance(item, _Readings) else "events", error)

    def _complain(self, stream: str, error: Exception) -> None:
        if self._on_trouble is not None:
            self._on_trouble(stream, str(error))

    def _sync(self) -> None:
        while not self._stopping.wait(self._sync_s):
            try:
                self._writer.sync()
            except OSError as error:
                # The file belongs to the writing thread: only that one may give it up.
                self._sync_error = error
                self._wake.set()
                return

    def _fail(self, error: Exception) -> None:
        """Give the file up as it is: what was flushed is safe, nothing more can be written."""
        with self._lock:
            if self.error is not None:
                return
            self.error = (
                OutputError(_what_to_do(self._writer, error))
                if isinstance(error, OSError)
                else cast(PhysioError, error)
            )
        self._stopping.set()
        self._wake.set()
        self._writer.abandon()
        if self._on_failure is not None:
            self._on_failure(self.error)


def _after_loss(item: _Packet | _Readings) -> _Packet | _Readings:
    """The first packet after dropped ones says that a gap lies before it."""
    flags = item.flags | int(BlockFlag.GAP_BEFORE)
    if isinstance(item, _Packet):
        return _Packet(item.stream, item.samples, item.t_received, item.t_device, flags)
    return _Readings(item.stream, item.times_s, item.samples, item.t_received, flags)


def _what_to_do(writer: SessionWriter, error: OSError) -> str:
    reason = (error.strerror or str(error)).splitlines()[0]
    return (
        f"the recording stopped, {writer.path} cannot be written ({reason}): what was recorded "
        f"until {time.strftime('%H:%M:%S')} is safe; make room, then 'physio-hqc recover' it"
    )
