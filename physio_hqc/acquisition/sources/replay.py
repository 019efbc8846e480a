"""A recorded session, live again: ``replay:FILE`` or ``replay:FILE@SPEED``.

FILE is a session file, or any file or folder that can be imported. SPEED is above 0 and at most
100; ``@10`` and ``@10x`` both mean ten times as fast.

What is delivered
    Stored samples in their own number type, with scale and offset, so that a recording of a replay
    holds the samples of the original one by one. Packets are those of the file, each due when it
    arrived then, with its flags and its device time. Where the file is no live recording (an
    import, a simulation) its stretches are cut into packets of about 0.1 s, due at the true time
    of their last sample, which is also their device time.

What a speed does
    The clock of a recording is the host's, and at speed s a session of an hour passes in 1/s
    hours of that clock. The recording says what happened: all times are divided by s, and the
    rates of the streams are s times those of the file. Samples are not touched, thus the numbers
    of a beat-interval stream stay as they were while the beats follow each other s times as fast,
    and heart rates computed from the waveform are s times too high. ``replay_speed`` and
    ``original_sfreq`` in every stream's device facts say so. To process a session, process its
    file; a speed is for trying screens, protocols and the road from source to report.

Events
    Interaction windows, markers, ratings and notes come again as what they were, at their onset.
    Phases and system events become markers of the same label with ``{"replayed": "phase"}`` (or
    ``"system"``) in the payload: the phases of a running session are those of its own protocol,
    and what happened to the devices then does not happen to them now.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.acquisition.source import Sink, Source, SourceOptions, StreamInfo
from physio_hqc.acquisition.sources._pace import Delivery, deliver
from physio_hqc.config import nearest
from physio_hqc.errors import ConfigError, RecordingError

if TYPE_CHECKING:
    from physio_hqc.session import Session
    from physio_hqc.session.reader import Stream

MAX_SPEED: Final = 100.0

_PACKET_S: Final = 0.1
_ROWS: Final = 256
_VALUES: Final = 1 << 18
"""Values read at a time: 2 MB of float64, whatever the length of the session."""
_MOST_READINGS, _LONGEST_READINGS_S = 32, 15.0
"""A packet of an irregular stream beyond these was never sent as one."""
_PAYLOAD_BYTES: Final = 4000
_AWAITED_S: Final = 30.0


def from_spec(text: str, options: SourceOptions) -> ReplaySource:
    """Make a replay from ``FILE`` or ``FILE@SPEED``.

    Raises
    ------
    ConfigError
        If the speed is no number or out of range.
    RecordingError
        If there is no such file.

    Examples
    --------
    >>> from_spec("P01.h5@1000", SourceOptions())
    Traceback (most recent call last):
    ...
    physio_hqc.errors.ConfigError: replay speed 1000 is out of range: above 0, at most 100
    """
    path, speed = _path_and_speed(text)
    return ReplaySource(path, speed=speed, streams=options.streams)


def _path_and_speed(text: str) -> tuple[Path, float]:
    """Split a specification; an "@" that belongs to the name of an existing file is no speed."""
    if not text.strip():
        raise ConfigError("replay needs a file: replay:FILE, or replay:FILE@10 for ten times")
    head, at, tail = text.rpartition("@")
    if not (at and head) or _is_there(Path(text)):
        return Path(text), 1.0
    number = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+|inf|nan)(?:e[-+]?\d+)?)\s*[x×]?\s*", tail)
    if number:
        speed = float(number[1])
        if not 0 < speed <= MAX_SPEED:
            raise ConfigError(f"replay speed {speed:g} is out of range: above 0, at most 100")
        return Path(head), speed
    if _is_there(Path(head)):
        raise ConfigError(f"replay speed {tail!r} is no number: FILE@10 replays ten times as fast")
    return Path(text), 1.0


def _is_there(path: Path) -> bool:
    """Whether a file, folder or WFDB record of that name exists."""
    try:
        return path.exists() or Path(f"{path}.hea").is_file()
    except (OSError, ValueError):  # a name too long, or one with a zero byte
        return False


class ReplaySource(Source):
    """A session file or an importable recording, delivered as if it happened now.

    Parameters
    ----------
    path : Path
        Session file, or what :func:`~physio_hqc.importers.import_recording` reads.
    speed : float
        How many times as fast; above 0, at most 100.
    streams : sequence of str
        Streams to replay; all by default.

    Attributes
    ----------
    path : Path
    speed : float

    Raises
    ------
    ConfigError
        If the speed is out of range.
    RecordingError
        If there is no such file.
    """

    def __init__(self, path: Path, *, speed: float = 1.0, streams: tuple[str, ...] = ()) -> None:
        if not 0 < speed <= MAX_SPEED:
            raise ConfigError(f"replay speed {speed:g} is out of range: above 0, at most 100")
        if not _is_there(path):
            raise RecordingError(f"cannot replay {path}: there is no such file or folder")
        self.name = "replay"
        self.path, self.speed = path, float(speed)
        self._wanted = streams
        self._session_path: Path | None = None
        self._session: Session | None = None

    async def streams(self) -> tuple[StreamInfo, ...]:
        """Read which streams the file has; a vendor file is imported into a temporary session.

        Raises
        ------
        RecordingError, SessionFileError
            If it cannot be read.
        ConfigError
            If a stream is asked for that it does not have.
        """
        if self._session is None:
            # In a thread: reading vendor files and event tables would hold up the other sources.
            self._session = await asyncio.to_thread(self._prepare)
        return tuple(self._info(self._session.streams[name]) for name in self._names(self._session))

    async def run(self, sink: Sink) -> None:
        """Deliver the whole session once; second 0 of the file is the moment this is called."""
        await self.streams()
        assert self._session is not None
        with self._session as session:
            self._session = None
            start = sink.now()
            sink.state("connected", f"{self.path.name} at {self.speed:g}x")
            roads = [
                _Packets(session.streams[name], self.speed, sink, start).deliveries()
                for name in self._names(session)
            ]
            roads.append(self._events(session, sink, start))
            await deliver(heapq.merge(*roads, key=itemgetter(0)), sink, start)
        sink.state("ended", f"{self.path.name} is over")

    def _prepare(self) -> Session:
        """Open the session, and read once what takes long: its events and its time bases."""
        from physio_hqc.session import open_session

        self._session_path = self._as_session()
        session = open_session(self._session_path)
        try:
            names = self._names(session)
            _ = session.events
            for stream in (session.streams[name] for name in names):
                if stream.sfreq and _has_known_times(stream._blocks[:1]).any():
                    _ = stream.timebase
        except BaseException:
            session.close()
            raise
        return session

    def _as_session(self) -> Path:
        """Return the file itself, or the temporary session that it was imported into."""
        if self._session_path is not None:
            return self._session_path  # replayed a second time
        if _is_hdf5_session(self.path):
            return self.path
        from physio_hqc.importers import import_recording

        folder = Path(tempfile.mkdtemp(prefix="physio-hqc-replay-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return import_recording(self.path, folder / "replay.h5").path

    def _names(self, session: Session) -> tuple[str, ...]:
        """Names of the streams to replay, in the order of the file."""
        unknown = [name for name in self._wanted if name not in session.streams]
        if unknown:
            raise ConfigError(
                f"{self.path} has no stream {unknown[0]!r}; {nearest(unknown[0], session.streams)}"
            )
        return tuple(name for name in session.streams if not self._wanted or name in self._wanted)

    def _info(self, stream: Stream) -> StreamInfo:
        first = stream._blocks[:1]["t_received"]
        soon = len(first) > 0 and float(first[0]) / self.speed <= _AWAITED_S
        device = {**stream.device, "replayed_from": self.path.name, "replay_speed": self.speed}
        if self.speed != 1:
            device["original_sfreq"] = stream.sfreq
        return StreamInfo(
            name=stream.name,
            modality=stream.modality,
            units=stream.units,
            sfreq=stream.sfreq * self.speed,
            dtype=stream._samples.dtype.name,
            channels=stream.channels,
            scale=_plain(stream.scale),
            offset=_plain(stream.offset),
            device=device,
            awaited=soon and (stream.sfreq > 0 or stream.modality == "rr"),
        )

    def _events(self, session: Session, sink: Sink, start: float) -> Iterator[Delivery]:
        """The events of the file, phases and system events as markers."""
        for row in session.events.itertuples(index=False):
            kind, payload = str(row.kind), dict(row.payload)
            if kind in ("phase", "system"):
                said = {**payload, "replayed": kind}
                payload = said if len(json.dumps(said).encode()) < _PAYLOAD_BYTES else payload
                kind = "marker"
            yield (
                row.onset / self.speed,
                partial(
                    sink.event,
                    kind,
                    str(row.label),
                    start + row.onset / self.speed,
                    duration=row.duration / self.speed,
                    payload=payload,
                ),
            )


class _Packets:
    """Packets of one stream of a file, read in pieces, in the order in which they arrived."""

    def __init__(self, stream: Stream, speed: float, sink: Sink, start: float) -> None:
        self.stream, self.speed, self.sink, self.start = stream, speed, sink, start
        self._rows, self._samples, self._times = stream._blocks, stream._samples, stream._times
        # Packets of 0.1 s of the replay: their number per second does not grow with the speed.
        self._step = max(1, round(_PACKET_S * stream.sfreq * speed))

    def deliveries(self) -> Iterator[Delivery]:
        """Yield when each packet is due and its delivery."""
        packets = self._regular() if self._times is None else self._irregular()
        latest = -math.inf
        for due, hand_over in packets:
            latest = max(latest, due / self.speed)
            yield latest, hand_over

    def _tables(self) -> Iterator[NDArray[np.void]]:
        """Rows of the file's packets, a few hundred at a time."""
        n_rows, n_stored = self.stream._n_rows, self.stream._n_stored
        for first in range(0, n_rows, _ROWS):
            rows = self._rows[first : min(first + _ROWS, n_rows)]
            stop = rows["first_sample"] + rows["n_samples"]
            fine = (rows["first_sample"] >= 0) & (rows["n_samples"] >= 0) & (stop <= n_stored)
            fine &= np.isfinite(rows["t_received"])
            if self.stream._whole and not fine.all():
                raise RecordingError(
                    f"stream {self.stream.name!r} of the replayed file is damaged: "
                    f"it has packets beyond its samples"
                )
            rows = rows[fine]  # a recorder that died may have left the last ones unfinished
            yield rows[rows["n_samples"] > 0]

    # ---- regular streams

    def _regular(self) -> Iterator[Delivery]:
        for table in self._tables():
            for rows in self._cut(table):
                yield from self._read(rows)

    def _cut(self, table: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
        """Cut stretches of files and simulations; a packet that was received stays whole."""
        cut = _has_known_times(table) & (table["n_samples"] > self._step)
        edges = [0, *(np.flatnonzero(np.diff(cut)) + 1).tolist(), len(table)]
        for first, last in pairwise(edges):
            if first == last:
                continue
            if not cut[first]:
                yield from _in_portions(table[first:last], self.stream)
                continue
            for row in table[first:last]:
                yield from self._pieces(row)

    def _pieces(self, row: np.void) -> Iterator[NDArray[np.void]]:
        """Rows of the short packets that one long row becomes, some hundred at a time."""
        begin, end = int(row["first_sample"]), int(row["first_sample"] + row["n_samples"])
        per_turn = self._step * max(1, min(_ROWS, _portion(self.stream) // self._step))
        for low in range(begin, end, per_turn):
            starts = np.arange(low, min(low + per_turn, end), self._step)
            stops = np.minimum(starts + self._step, end)
            pieces = np.zeros(len(starts), dtype=row.dtype)
            pieces["first_sample"], pieces["n_samples"] = starts, stops - starts
            times = self._times_of(row, int(starts[0]), int(stops[-1]))
            pieces["t_received"] = pieces["t_device"] = times[stops - 1 - starts[0]]
            if low == begin:
                pieces["flags"][0] = row["flags"]
            yield pieces

    def _times_of(self, row: np.void, start: int, stop: int) -> NDArray[np.float64]:
        """True times of stored samples [start, stop) of a row that is a stretch of a file."""
        base = self.stream.timebase
        if base.pieces is None:
            return base.times(start, stop)
        last = int(row["first_sample"] + row["n_samples"]) - 1
        back = (np.arange(start, stop) - last) / self.stream.measured_sfreq
        return np.asarray(row["t_device"] + back, dtype=np.float64)

    def _read(self, rows: NDArray[np.void]) -> Iterator[Delivery]:
        """Read the samples of packets that follow each other, and yield the packets."""
        begin = int(rows["first_sample"][0])
        values = self._samples[begin : int(rows["first_sample"][-1] + rows["n_samples"][-1])]
        for first, n, t_received, t_device, flags in rows.tolist():
            samples = values[first - begin : first - begin + n]
            yield t_received, partial(self._packet, samples, t_device / self.speed, flags)

    def _packet(self, samples: NDArray[Any], t_device: float, flags: int) -> None:
        self.sink.packet(self.stream.name, samples, self.sink.now(), t_device, flags)

    # ---- irregular streams

    def _irregular(self) -> Iterator[Delivery]:
        assert self._times is not None
        for table in self._tables():
            for first, n, t_received, _, flags in table.tolist():
                for low in range(first, first + n, _portion(self.stream)):
                    high = min(low + _portion(self.stream), first + n)
                    times = self._times[low:high]
                    values = self._samples[low:high]
                    whole = n <= _MOST_READINGS and np.ptp(times) <= _LONGEST_READINGS_S
                    if whole or t_received != times[-1]:
                        yield t_received, partial(self._readings, times, values, flags)
                    else:
                        yield from self._one_by_one(times, values, flags)

    def _one_by_one(
        self, times: NDArray[np.float64], values: NDArray[Any], flags: int
    ) -> Iterator[Delivery]:
        """Values of a file or simulation at their own times; those within 0.1 s together."""
        turn = np.floor(times / self.speed / _PACKET_S)
        edges = [0, *(np.flatnonzero(np.diff(turn)) + 1).tolist(), len(times)]
        for low, high in pairwise(edges):
            flag = flags if low == 0 else 0
            part = partial(self._readings, times[low:high], values[low:high], flag)
            yield float(times[high - 1]), part

    def _readings(self, times: NDArray[np.float64], values: NDArray[Any], flags: int) -> None:
        shifted = self.start + times / self.speed
        self.sink.readings(self.stream.name, shifted, values, self.sink.now(), flags)


def _has_known_times(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which packets are stretches of a file: of what was received, arrival and stamp differ."""
    return np.asarray(rows["t_received"] == rows["t_device"])


def _portion(stream: Stream) -> int:
    """Samples of a stream to read at a time."""
    return max(1, _VALUES // len(stream.channels))


def _in_portions(rows: NDArray[np.void], stream: Stream) -> Iterator[NDArray[np.void]]:
    """Split rows where their samples do not follow each other, and where they become many."""
    follows = rows["first_sample"][1:] == rows["first_sample"][:-1] + rows["n_samples"][:-1]
    turn = np.cumsum(rows["n_samples"]) // _portion(stream)
    edges = [0, *(np.flatnonzero(~follows | (np.diff(turn) > 0)) + 1).tolist(), len(rows)]
    for low, high in pairwise(edges):
        yield rows[low:high]


def _plain(value: float | NDArray[np.float64]) -> float | tuple[float, ...]:
    return float(value) if np.ndim(value) == 0 else tuple(np.asarray(value).tolist())


def _is_hdf5_session(path: Path) -> bool:
    """Whether a file is a session; anything else goes through the importers."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(8) != b"\x89HDF\r\n\x1a\n":
            return False
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as hdf5:
            form = hdf5.attrs.get("format", "")
            text = form.decode("utf-8", "replace") if isinstance(form, bytes) else str(form)
            return text.startswith("physio-hqc/")
    except OSError:
        return True  # truncated or still growing: open_session says what is wrong, or reads it
