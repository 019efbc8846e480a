"""A look at the tags of a FIF file before MNE follows them.

A FIF file is a chain of tags (kind, type, size, next; 16 bytes, then the data), with a directory of
them at its end. MNE goes by what they say: a tag whose next one lies before it is a circle, a skip
can stand for gigabytes of zeros, and a reference can name any file of the disk.
"""

from __future__ import annotations

import mmap
import re
import struct
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import RecordingError

_HEADER: Final = 16
_DIRECTORY_POINTER, _REF_NUMBER, _REF_NAME, _BUFFER, _SKIP = 101, 117, 118, 300, 301
_DIRECTORY_TYPE: Final = 32
_POINTS_TYPE, _POINTS_HEAD, _POINT = 36, 12, 12
_FREE_BYTES: Final = 1 << 26
_MOST_SKIPPED: Final = 16
_MAX_PARTS: Final = 1000
_Data = bytes | mmap.mmap


def check_parts(path: Path) -> None:
    """Check a FIF file and the files in which it goes on, as MNE would follow them.

    Raises
    ------
    RecordingError
        If the tags of one lead in circles or out of its folder, or stand for far more samples than
        it holds.
    """
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        part = waiting.pop()
        if part.name in {known.name for known in seen}:
            raise RecordingError(f"{path}: it names {part.name!r} twice as its next part; refused")
        if len(seen) >= _MAX_PARTS:
            raise RecordingError(f"{path}: it has more than {_MAX_PARTS} parts")
        seen.add(part)
        with part.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            named = check_tags(data, part)
        waiting += [path.parent / name for name in named if (path.parent / name).is_file()]


def check_tags(data: _Data, path: Path) -> set[str]:
    """Check the tags of one file; return the names of the files in which it may go on."""
    tags = _tags(data, path)
    kinds, sizes, places = tags[:, 0], tags[:, 2], tags[:, 3]
    if (sizes < 0).any() or (places < 0).any() or (places > len(data) - _HEADER).any():
        raise RecordingError(f"{path}: a FIF tag lies outside the file; it is damaged or cut short")
    for place in places.tolist():
        _check_points(data, place, path)
    buffers = sizes[kinds == _BUFFER]
    skips = [max(0, _number(data, int(place))) for place in places[kinds == _SKIP]]
    stated = int(buffers.sum()) + sum(skips) * int(buffers.max(initial=0))
    if stated > max(_FREE_BYTES, _MOST_SKIPPED * len(data)):
        raise RecordingError(f"{path}: {len(data)} bytes cannot hold {stated} bytes of samples")
    names = {_name(data, int(place), path) for place in places[kinds == _REF_NAME]}
    for place in places[kinds == _REF_NUMBER]:
        first, _, rest = path.name.partition(".")
        number = _number(data, int(place))
        names |= {f"{re.sub(r'-[0-9]+$', '', first)}-{number}.{rest}", f"{first}-{number}.{rest}"}
    return names


def _check_points(data: _Data, place: int, path: Path) -> None:
    """Refuse a string of points longer than its tag: MNE would make up to 2**31 empty ones."""
    _, tag_type, size, _ = struct.unpack_from(">iIii", data, place)
    if tag_type == _POINTS_TYPE:
        head = data[place + _HEADER : place + _HEADER + _POINTS_HEAD]
        count = int.from_bytes(head[8:12], "big", signed=True)
        if _POINTS_HEAD + _POINT * count > size or place + _HEADER + size > len(data):
            raise RecordingError(f"{path}: a FIF tag holds fewer points than it says; refused")


def _tags(data: _Data, path: Path) -> NDArray[np.int64]:
    """Return kind, type, size and position of each tag, from the directory or one after another."""
    second = _next(data, 0)
    start = 0
    if second is not None and second + 20 <= len(data):
        (kind,) = struct.unpack_from(">i", data, second)
        start = _number(data, second) if kind == _DIRECTORY_POINTER else 0
    if 0 < start <= len(data) - _HEADER:
        _, tag_type, size, _ = struct.unpack_from(">iIii", data, start)
        if tag_type != _DIRECTORY_TYPE or size < _HEADER or start + _HEADER + size > len(data):
            raise RecordingError(f"{path}: the directory of the FIF file is damaged")
        table = np.frombuffer(data, ">i4", size // 4 // 4 * 4, start + _HEADER)
        return table.reshape(-1, 4).astype(np.int64)
    found = []
    place: int | None = 0
    while place is not None and place + _HEADER <= len(data):
        kind, tag_type, size, _ = struct.unpack_from(">iiii", data, place)
        found.append((kind, tag_type, size, place))
        following = _next(data, place)
        if size < 0 or (following is not None and following <= place):
            raise RecordingError(f"{path}: the tags of the FIF file lead round in circles")
        place = following
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def _next(data: _Data, place: int) -> int | None:
    """Return where the tag after the one at `place` begins; None after the last."""
    if place + _HEADER > len(data):
        return None
    _, _, size, following = struct.unpack_from(">iIii", data, place)
    if following == 0:
        return place + _HEADER + max(0, int(size))
    return int(following) if following > 0 else None


def _number(data: _Data, place: int) -> int:
    """Return the number that a tag holds; 0 where the file ends before it."""
    if place + _HEADER + 4 > len(data):
        return 0
    return int(struct.unpack_from(">i", data, place + _HEADER)[0])


def _name(data: _Data, place: int, path: Path) -> str:
    """Return the file name that a tag holds; refuse one that leads out of the folder."""
    (size,) = struct.unpack_from(">i", data, place + 8)
    name = data[place + _HEADER : place + _HEADER + max(0, size)].decode("latin-1")
    kinds: tuple[type[PurePath], ...] = (PurePosixPath, PureWindowsPath)
    if not name.isprintable() or name in ("", "..") or any(k(name).name != name for k in kinds):
        raise RecordingError(f"{path} names {name[:80]!r}, which is not a plain file name; refused")
    return name
