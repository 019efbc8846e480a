"""What a file may ask of the machine: reads that end, and sizes that belong to the file's own."""

from __future__ import annotations

import gzip
import io
from typing import Any, Final

from physio_hqc.errors import RecordingError

MAX_TIME_S: Final = 1e10
"""Latest time, in s, that a sample or marker can have: three hundred years."""
_FREE_READS: Final = 500
_MOST_READS: Final = 400_000
_FREE_BYTES: Final = 1 << 25
_MOST_RATIO: Final = 200


def most_unpacked(packed: int) -> int:
    """Return how many bytes so many packed ones may become; recordings shrink far less.

    Examples
    --------
    >>> most_unpacked(1000), most_unpacked(10**7)
    (33554432, 2000000000)
    """
    return max(_FREE_BYTES, _MOST_RATIO * packed)


def unpacked_gzip(content: bytes, name: str) -> bytes:
    """Unpack a gzip file within the limit."""
    limit = most_unpacked(len(content))
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise RecordingError(f"{name}: unpacks to more than {limit} bytes; unpack it first")
    return data


class BoundedFile(io.BytesIO):
    """The content of a file for readers that trust its counts: nothing in it is read for ever.

    A count that lies, or an entry of length zero or less, makes such a reader turn in circles;
    here it runs out of reads. No read is longer than what is left.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name
        self._size = len(content)
        self._reads_left = min(_MOST_READS, _FREE_READS + len(content) // 4)
        self._bytes_left = 16 * len(content) + _FREE_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, unless the reader has read the file many times over."""
        left = max(0, self._size - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        self._reads_left -= 1
        self._bytes_left -= wanted
        if self._reads_left < 0 or self._bytes_left < 0:
            raise RecordingError(f"{self.name}: its counts and lengths lead round in circles")
        return super().read(wanted)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, within the same bounds."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
