"""Read all that can be read of a broken session file: ``python -m physio_hqc.session.salvage``.

Run by :mod:`physio_hqc.session.recover` in a process of its own, because HDF5 may crash or wait for
ever on a damaged file. What it reads goes into plain files of a folder, and every line it prints
says what it is about to read, so that the one who runs it knows where it stopped.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import struct
import sys
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from physio_hqc.errors import SessionFileError
from physio_hqc.session._untrusted import (
    attribute,
    check_chunk,
    checked_layout,
    may_inflate,
    most_chunks,
)
from physio_hqc.session.format import (
    MAX_COMPRESSION_RATIO,
    MAX_STREAMS,
    MIN_VALUES,
    ROOT_ATTRIBUTES,
    SIGNATURE,
    STREAM_ATTRIBUTES,
    STREAM_NAME,
    STREAM_PARTS,
    SUPERBLOCK_BYTES,
    VALUES_PER_BYTE,
)

Range = tuple[int, int]

_ROOT: Final = SUPERBLOCK_BYTES
_MAX_ROW_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 24
_MIN_ROOM: Final = 1 << 28
DAMAGE: Final = (
    *(OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError),
    *(OverflowError, SessionFileError),
)


class Mended(io.RawIOBase):
    """A session file whose superblock is put right while it is read; nothing is written.

    The marks of a recorder that died are gone, the length is the true one, what lies behind the
    end reads as zeros. A superblock that is destroyed is made anew: in a session file the root
    always stands right behind it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._at = 0
        self.size = os.fstat(self._file.fileno()).st_size
        start = self._file.read(SUPERBLOCK_BYTES + 4)
        self.was_mended = not _is_superblock(start)
        if self.was_mended and start[_ROOT:] != b"OHDR":
            raise ValueError("its beginning is destroyed, or it is no session file")
        root, end = _ROOT, self.size
        if not self.was_mended:
            end, root = struct.unpack_from("<QQ", start, 28)
        self.missing_bytes = max(0, end - self.size)
        # Room behind the end: HDF5 refuses addresses that lie behind what it takes for the end.
        self._end = max(end, self.size) + (1 << 30)
        self._superblock = _superblock(self._end, root)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it has places to go to."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the place where it stands."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._at)
        content = self._file.read(len(view)).ljust(len(view), b"\0")
        if self._at < SUPERBLOCK_BYTES:
            mended = self._superblock[self._at : self._at + len(view)]
            content = mended + content[len(mended) :]
        view[:] = content
        self._at += len(view)
        return len(view)


def _is_superblock(start: bytes) -> bool:
    """Whether a file begins with a superblock of version 3 that fits its checksum."""
    if len(start) < SUPERBLOCK_BYTES or start[:9] != SIGNATURE + b"\x03":
        return False
    stated: int = struct.unpack_from("<I", start, SUPERBLOCK_BYTES - 4)[0]
    return stated == lookup3(start[: SUPERBLOCK_BYTES - 4])


def _superblock(end: int, root: int) -> bytes:
    """Superblock of a closed file."""
    body = SIGNATURE + struct.pack("<4BQQQQ", 3, 8, 8, 0, 0, 2**64 - 1, end, root)
    return body + struct.pack("<I", lookup3(body))


def lookup3(data: bytes) -> int:
    """Bob Jenkins's hash of 32 bits, with which HDF5 guards its metadata.

    References
    ----------
    Jenkins, B. (2006). lookup3.c. https://burtleburtle.net/bob/c/lookup3.c

    Examples
    --------
    >>> lookup3(b"Four score and seven years ago") == 0x17770551
    True
    """
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    at = 0
    while len(data) - at > 12:
        x, y, z = struct.unpack_from("<3I", data, at)
        a, b, c = _mix((a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF)
        at += 12
    if at == len(data):
        return c
    x, y, z = struct.unpack("<3I", data[at:].ljust(12, b"\0"))
    a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
    word: list[int] = [a, b, c]
    for turn, target, source in (
        (14, 2, 1),
        (11, 0, 2),
        (25, 1, 0),
        (16, 2, 1),
        (4, 0, 2),
        (14, 1, 0),
        (24, 2, 1),
    ):
        mixed = (word[target] ^ word[source]) - _turned(word[source], turn)
        word[target] = mixed & 0xFFFFFFFF
    return word[2]


def _turned(x: int, n: int) -> int:
    return ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for turn in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & 0xFFFFFFFF) ^ _turned(c, turn)
        c = (c + b) & 0xFFFFFFFF
        a, b, c = b, c, a
    return a, b, c


def salvage(path: Path, folder: Path, skip: dict[str, list[int]]) -> dict[str, Any]:
    """Read everything into files of a folder; return what there is, and what is not readable.

    Parameters
    ----------
    path : Path
        The broken file.
    folder : Path
        Where ``<number>.raw`` files go.
    skip : dict of str to list of int
        Chunks, by data set and first row, at which this got stuck before.
    """
    mended = Mended(path)
    with h5py.File(mended, "r") as file:
        reader = _Reader(folder, mended.size, skip)
        contents: dict[str, Any] = {
            "missing_bytes": mended.missing_bytes,
            "attrs": _attributes(file, ROOT_ATTRIBUTES),
            "streams": {},
        }
        contents["events"] = reader.dump(file, "events")
        contents["facts"] = reader.dump(file, "facts")
        for name in itertools.islice(file["streams"], MAX_STREAMS):
            if not STREAM_NAME.fullmatch(name):
                continue
            reader.say(f"streams/{name}", -1)
            try:
                group = file["streams"][name]
                found: dict[str, Any] = {"attrs": _attributes(group, STREAM_ATTRIBUTES)}
            except DAMAGE as error:
                contents["streams"][name] = {"problem": _line(error)}
                continue
            for part in STREAM_PARTS:
                found[part] = reader.dump(group, part)
            contents["streams"][name] = found
    return contents


class _Reader:
    """Reads data sets chunk by chunk into raw files."""

    def __init__(self, folder: Path, file_size: int, skip: dict[str, list[int]]) -> None:
        self._folder, self._file_size, self._skip = folder, file_size, skip
        self._n_files = 0
        self._is_compressed = False
        self._room = max(_MIN_ROOM, MAX_COMPRESSION_RATIO * file_size)
        self._values = max(MIN_VALUES, VALUES_PER_BYTE * file_size)

    def say(self, name: str, row: int) -> None:
        """Say what is read next."""
        sys.stdout.write(json.dumps([name, row]) + "\n")
        sys.stdout.flush()

    def dump(self, group: h5py.Group, name: str) -> dict[str, Any] | None:
        """Write the rows of a data set to a file; None if there is no such data set."""
        full = f"{group.name.strip('/')}/{name}".strip("/")
        self.say(full, -1)
        if -1 in self._skip.get(full, []):
            return {"problem": "HDF5 gets stuck on it"}
        try:
            if group.get(name, getlink=True) is None:
                return None
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return {"problem": "refers to other files"}
            dataset = group[name]
            if not isinstance(dataset, h5py.Dataset):
                return {"problem": "is no data set"}
            self._is_compressed = bool(checked_layout(dataset, full))
            return self._dump(dataset, full)
        except DAMAGE as error:
            return {"problem": _line(error)}

    def _dump(self, dataset: h5py.Dataset, full: str) -> dict[str, Any]:
        shape, dtype = dataset.shape, dataset.dtype
        row_bytes = dtype.itemsize * math.prod(shape[1:])
        step = dataset.chunks[0] if dataset.chunks else max(1, _PIECE_BYTES // max(row_bytes, 1))
        if (
            len(shape) > 2
            or dtype.hasobject
            or not 0 < row_bytes <= _MAX_ROW_BYTES
            or step * row_bytes > 1 << 28
        ):
            return {"problem": "is laid out as no session file is"}
        # No more rows than the file has bytes for, compressed as well as can be.
        ratio = MAX_COMPRESSION_RATIO if self._is_compressed else 1
        n = min(shape[0], (ratio * self._file_size + _PIECE_BYTES) // row_bytes)
        n = min(n, self._room // row_bytes)
        if full.endswith(("/samples", "/times")):
            # A session with more would be refused when it is read.
            n = min(n, self._values // math.prod(shape[1:]))
        if n > step * most_chunks(self._file_size):
            return {"problem": "is cut into more pieces than a session file is"}
        self._room -= n * row_bytes
        target = f"{self._n_files}.raw"
        self._n_files += 1
        lost: list[Range] = []
        with (self._folder / target).open("wb") as out:
            for start in range(0, n, step):
                stop = min(n, start + step)
                self.say(full, start)
                content, good = self._chunk(dataset, full, start, stop)
                if good < stop - start:
                    lost.append((start + good, stop))
                    content = content[: good * row_bytes].ljust((stop - start) * row_bytes, b"\0")
                out.write(content)
        return {
            "file": target,
            "dtype": [[name, dtype[name].str] for name in dtype.names]
            if dtype.names
            else dtype.str,
            "shape": [n, *shape[1:]],
            "lost": lost,
        }

    def _chunk(self, dataset: h5py.Dataset, full: str, start: int, stop: int) -> tuple[bytes, int]:
        """Content of rows [start, stop), and how many of them from the first are there."""
        if start in self._skip.get(full, []):
            return b"", 0
        try:
            good = stop - start
            if dataset.chunks:
                good = min(good, self._rows_there(dataset, start))
            content: bytes = dataset[start:stop].tobytes() if good else b""
        except DAMAGE:
            return b"", 0
        return content, good

    def _rows_there(self, dataset: h5py.Dataset, start: int) -> int:
        """Rows of the chunk at `start` that lie within the file."""
        width = dataset.chunks[1:]
        if width != dataset.shape[1:]:
            raise ValueError("chunks cut through rows")
        info = dataset.id.get_chunk_info_by_coord((start, *(0 for _ in width)))
        if info.byte_offset is None:
            return 0
        if self._is_compressed and may_inflate(info):
            check_chunk(dataset, info, dataset.name)
        there = self._file_size - info.byte_offset
        if dataset.compression is not None:
            return int(dataset.chunks[0]) if there >= info.size else 0
        row_bytes = dataset.dtype.itemsize * math.prod(width)
        rows: int = min(int(dataset.chunks[0]), there // row_bytes)
        return max(0, rows)


def _attributes(item: h5py.Group, names: tuple[str, ...]) -> dict[str, Any]:
    """Attributes that can be read, as JSON can hold them."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            value = attribute(item, name)
        except DAMAGE:
            continue
        found[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return found


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def main() -> None:
    """Salvage the file of the first argument into the folder of the third."""
    path, index, folder = map(Path, sys.argv[1:4])
    try:
        contents = salvage(path, folder, json.loads(sys.argv[4]))
    except DAMAGE as error:
        contents = {"problem": _line(error)}
    index.write_text(json.dumps(contents), encoding="utf-8")


if __name__ == "__main__":
    main()
