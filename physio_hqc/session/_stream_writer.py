"""One stream of a session file that is being written, and how rows are appended to HDF5."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SessionFileError
from physio_hqc.session.format import BLOCK_DTYPE, MAX_TIME_S, BlockFlag
from physio_hqc.session.timebase import MAX_RATE_ERROR

REMEMBERED: Final = 16
"""Packets that a repeated one is compared with."""

_MAX_CHUNK_BYTES: Final = 1 << 20
_ERRNO = re.compile(r"errno = (\d+), error message = '([^']*)'")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Make one kind of error, an OSError with its number, of all that HDF5 raises in writing."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        found = _ERRNO.search(str(error))
        number = int(found[1]) if found else getattr(error, "errno", None) or 0
        reason = found[2] if found else (str(error) or type(error).__name__).splitlines()[0]
        raise OSError(number, reason) from error


@dataclass
class Table:
    """A data set that grows at its end."""

    dataset: h5py.Dataset
    n: int = 0
    _tail: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._tail = self.dataset.shape[1:]

    def extend(self, rows: NDArray[Any]) -> None:
        """Append rows, which have the number type of the data set."""
        if len(rows):
            self.n += len(rows)
            self.dataset.id.set_extent((self.n, *self._tail))
            self.write(self.n - len(rows), rows)

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows that the data set has a place for."""
        # The calls behind h5py's slicing, which costs ten times as much.
        values = np.ascontiguousarray(rows)
        place = h5py.h5s.create_simple((self.n, *self._tail))
        place.select_hyperslab((start, *(0 for _ in self._tail)), values.shape)
        self.dataset.id.write(h5py.h5s.create_simple(values.shape), place, values)


def open_table(group: h5py.Group, name: str) -> Table:
    """Open a data set of a group for appending.

    Of what was written HDF5 keeps 8 MB a data set unless it is told otherwise: with many streams
    a recording would grow in memory for hours.
    """
    chunk = group[name].chunks
    n_bytes = group[name].dtype.itemsize * math.prod(chunk)
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(17, 2 * n_bytes, 1.0)
    return Table(h5py.Dataset(h5py.h5d.open(group.id, name.encode(), access)))


class StreamWriter:
    """Checks what is appended to one stream, and writes it.

    The rows of packets wait in memory until `rows_of` is called: a row in the file says that its
    samples are there.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], n_channels: int, sfreq: float) -> None:
        self.name, self.dtype, self.n_channels, self.sfreq = name, dtype, n_channels, sfreq
        self.waiting: list[NDArray[np.void]] = []
        self.n_waiting = 0
        self._n_packets = 0
        self._recent: deque[tuple[float, bytes]] = deque(maxlen=REMEMBERED)
        self._pending = 0
        self._next_time = math.nan
        self._grid_start, self._grid_period, self._grid_n = math.nan, 1.0, 0

    @property
    def is_irregular(self) -> bool:
        """Whether samples carry their own times."""
        return self.sfreq == 0

    def create(self, group: h5py.Group, compress: bool) -> None:
        """Create the data sets, empty."""
        tail = () if self.n_channels == 1 else (self.n_channels,)
        how: dict[str, Any] = (
            {"compression": "gzip", "compression_opts": 4, "shuffle": True} if compress else {}
        )
        rows = self._chunk_rows()
        group.create_dataset(
            "samples",
            shape=(0, *tail),
            maxshape=(None, *tail),
            chunks=(rows, *tail),
            dtype=self.dtype,
            **how,
        )
        group.create_dataset(
            "blocks", shape=(0,), maxshape=(None,), chunks=(256,), dtype=BLOCK_DTYPE
        )
        if self.is_irregular:
            group.create_dataset("times", shape=(0,), maxshape=(None,), chunks=(rows,), dtype="<f8")

    def attach(self, group: h5py.Group) -> None:
        """Write into the data sets of this group from now on."""
        self.samples, self.blocks = open_table(group, "samples"), open_table(group, "blocks")
        self.times = open_table(group, "times") if self.is_irregular else None

    def _chunk_rows(self) -> int:
        # About 16 s a chunk: small enough to flush often, large enough to read a day quickly.
        rows = int(np.clip(2 ** math.ceil(math.log2(max(self.sfreq, 1.0) * 16)), 64, 32768))
        return max(1, min(rows, _MAX_CHUNK_BYTES // (self.dtype.itemsize * self.n_channels)))

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
        if self.dtype.kind in "iu" and values.size and values.dtype != self.dtype:
            if values.dtype.kind == "f":
                raise SessionFileError(
                    f"stream {self.name!r} stores {self.dtype}; fractions would be lost"
                )
            limits = np.iinfo(self.dtype)
            if values.min() < limits.min or values.max() > limits.max:
                raise SessionFileError(f"stream {self.name!r}: a sample does not fit {self.dtype}")
        return values.astype(self.dtype, copy=False)

    def append(
        self,
        samples: ArrayLike,
        counts: NDArray[np.int64],
        t_received: NDArray[np.float64],
        t_device: NDArray[np.float64],
        flags: NDArray[np.uint32],
    ) -> int:
        """Append packets; return how many were repetitions and were dropped."""
        values = self.as_samples(samples)
        if (counts.size and counts.min() < 0) or counts.sum() != len(values):
            raise SessionFileError(
                f"stream {self.name!r}: {len(values)} samples do not fill the packets"
            )
        filled = counts > 0
        if not filled.all():
            counts, t_received = counts[filled], t_received[filled]
            t_device, flags = t_device[filled], flags[filled]
        if not (np.abs(t_received) <= MAX_TIME_S).all():
            raise SessionFileError(f"stream {self.name!r}: a packet without an arrival time")
        if not counts.size:
            return 0
        repeated = self._find_repeated(values, counts, t_device)
        carried = self._carried_flags(repeated)
        if repeated.any():
            values = values[np.repeat(~repeated, counts)]
        kept = ~repeated
        self.write(values, counts[kept], t_received[kept], t_device[kept], (flags | carried)[kept])
        return int(repeated.sum())

    def _find_repeated(
        self, values: NDArray[Any], counts: NDArray[np.int64], t_device: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Packets that have device time and content of one of the last few."""
        repeated = np.zeros(len(counts), dtype=bool)
        if not np.isfinite(t_device).any():
            return repeated
        content = np.ascontiguousarray(values).tobytes()
        ends = np.cumsum(counts) * (self.dtype.itemsize * self.n_channels)
        begin = 0
        for k, (end, stamp) in enumerate(zip(ends.tolist(), t_device.tolist(), strict=True)):
            if math.isfinite(stamp):
                packet = (stamp, content[begin:end])
                if packet in self._recent:
                    repeated[k] = True
                else:
                    self._recent.append(packet)
            begin = end
        return repeated

    def _carried_flags(self, repeated: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Flags that a packet takes over from the dropped ones before it."""
        carried = np.zeros(len(repeated), dtype=np.uint32)
        carried[0] = self._pending
        carried[1:][repeated[:-1]] = BlockFlag.DUPLICATE_DROPPED
        self._pending = BlockFlag.DUPLICATE_DROPPED if repeated[-1] else 0
        return carried

    def append_segment(self, samples: ArrayLike, t_start: float, sfreq: float | None) -> None:
        """Append a gap-free stretch with exactly known times."""
        values = self.as_samples(samples)
        n = len(values)
        if not n:
            return
        rate = self.sfreq if sfreq is None else float(sfreq)
        if not (abs(t_start) <= MAX_TIME_S and math.isfinite(rate) and rate > 0):
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
        if self._continues(t_start, t_last, n):
            # On the grid of the stretch that it continues: each at its own place, many small
            # offsets would add up, and the reader would take them for another rate.
            self._grid_n += n
            on_grid = self._grid_start + (self._grid_n - 1) * self._grid_period
            self.write_packet(values, on_grid, on_grid, 0)
        else:
            self._grid_start, self._grid_period, self._grid_n = t_start, 1 / rate, n
            # Two rows pin both offset and rate of the stretch.
            flag = BlockFlag.GAP_BEFORE if self._n_packets else BlockFlag(0)
            half = n - n // 2
            t_half = t_start + (half - 1) / rate
            self.write_packet(values[:half], t_half, t_half, flag)
            if half < n:
                self.write_packet(values[half:], t_last, t_last, 0)
        self._next_time = t_last + 1 / rate

    def _continues(self, t_start: float, t_last: float, n: int) -> bool:
        """Whether a stretch lies on the grid of the one before, to half a sample at both ends."""
        first = self._grid_start + self._grid_n * self._grid_period
        last = first + (n - 1) * self._grid_period
        return bool(max(abs(t_start - first), abs(t_last - last)) <= 0.5 * self._grid_period)

    def write_packet(
        self, values: NDArray[Any], t_received: float, t_device: float, flags: int
    ) -> None:
        """Write one packet; `write` for many."""
        self.write(
            values,
            np.array([len(values)]),
            np.array([t_received]),
            np.array([t_device]),
            np.array([int(self._pending | flags)]),
        )
        self._pending = 0

    def write(
        self,
        values: NDArray[Any],
        counts: NDArray[np.int64],
        t_received: NDArray[np.float64],
        t_device: NDArray[np.float64],
        flags: NDArray[Any],
    ) -> None:
        """Write the samples of packets; their rows wait until the samples are safe."""
        rows = np.zeros(len(counts), dtype=BLOCK_DTYPE)
        rows["n_samples"] = counts
        rows["t_received"], rows["t_device"], rows["flags"] = t_received, t_device, flags
        self.add_samples(values)
        self.add_rows(rows)

    def add_samples(self, values: NDArray[Any], times: NDArray[np.float64] | None = None) -> None:
        """Write samples, and their times where the stream is irregular."""
        with disk_errors():
            if self.times is not None and times is not None:
                self.times.extend(times)
            self.samples.extend(values)

    def add_rows(self, rows: NDArray[np.void]) -> None:
        """Have rows wait that tell of the last samples written."""
        counts = rows["n_samples"]
        rows["first_sample"] = self.samples.n - counts.sum() + np.cumsum(counts) - counts
        self.waiting.append(rows)
        self.n_waiting += len(rows)
        self._n_packets += len(rows)

    def write_waiting(self) -> None:
        """Write the rows whose samples have been flushed."""
        if self.waiting:
            rows = np.concatenate(self.waiting)
            self.waiting, self.n_waiting = [], 0
            self.blocks.extend(rows)
