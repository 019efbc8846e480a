"""The last seconds of a signal in a fixed piece of memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Ring:
    """Keeps the last `capacity` samples.

    Examples
    --------
    >>> ring = Ring(3)
    >>> ring.append(np.array([1.0, 2.0, 3.0, 4.0]))
    >>> ring.tail(2)
    array([3., 4.])
    """

    def __init__(self, capacity: int) -> None:
        self._data = np.full(max(capacity, 1), np.nan)
        self._end = 0  # samples ever appended

    def __len__(self) -> int:
        return min(self._end, self._data.size)

    def append(self, samples: Floats) -> None:
        """Add samples, oldest first."""
        kept = samples[-self._data.size :]
        self._end += samples.size - kept.size
        self._place(self._end, kept)
        self._end += kept.size

    def skip(self, n: int) -> None:
        """Add `n` missing samples."""
        self.append(np.full(min(n, self._data.size), np.nan))

    def put_back(self, samples: Floats, before_end: int) -> None:
        """Put late samples where they belong; the last of them is `before_end` samples back."""
        start = self._end - before_end - samples.size
        if before_end >= 0 and start >= max(self._end - self._data.size, 0):
            self._place(start, samples)

    def tail(self, n: int) -> Floats:
        """Copy the last `n` samples, fewer if there are fewer."""
        n = min(n, len(self))
        start = (self._end - n) % self._data.size
        if start + n <= self._data.size:
            return self._data[start : start + n].copy()
        return np.concatenate([self._data[start:], self._data[: start + n - self._data.size]])

    def _place(self, at: int, samples: Floats) -> None:
        """Write samples, around the end of the memory if need be."""
        start = at % self._data.size
        first = min(self._data.size - start, samples.size)
        self._data[start : start + first] = samples[:first]
        self._data[: samples.size - first] = samples[first:]
