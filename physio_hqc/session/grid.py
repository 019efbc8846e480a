"""The even index of a regular stream: its samples, with places left free in the gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import SessionFileError
from physio_hqc.session.timebase import TimeBase

MAX_PLACES: Final = 1e15
"""More than any recording has places; counts beyond lose their digits."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class EvenGrid:
    """Where the samples of a stream stand on an index that is even in time.

    Attributes
    ----------
    n : int
        Places, samples and missing ones together.
    held : ndarray, shape (s, 2)
        Places [start, stop) that hold samples, one row per gap-free segment.
    first_sample : ndarray, shape (s,)
        Index of the sample that stands at the start of each row of `held`.
    knot_index, knot_s : ndarray, shape (k,)
        Places and their times in s; the time of any place lies on the line between two knots.
    """

    n: int
    held: Ints
    first_sample: Ints
    knot_index: Ints
    knot_s: Floats


def even_grid(base: TimeBase) -> EvenGrid:
    """Lay the segments of a time base on an even index, gaps rounded to whole samples.

    Raises
    ------
    SessionFileError
        If there is hardly anything but gaps.
    """
    rows = base.segments[base.segments["stop"] > base.segments["start"]]
    first = rows["start"].astype(np.int64)
    n = rows["stop"].astype(np.int64) - first
    start_s = rows["t_start"].astype(np.float64)
    end_s = start_s + (n - 1) * rows["period"]
    gaps = np.rint((start_s[1:] - end_s[:-1]) * base.measured_sfreq) - 1
    if gaps.sum() > MAX_PLACES:
        raise SessionFileError("a stream is almost only gap: cut it first")
    missing = gaps.astype(np.int64)
    shift = np.concatenate([[0], np.cumsum(np.maximum(missing, 0))])[: len(n)]
    held = np.column_stack([first + shift, first + shift + n])
    ends = np.column_stack([held[:, 0], held[:, 1] - 1]).ravel()
    knot_index, kept = np.unique(ends, return_index=True)
    return EvenGrid(
        n=int(held[-1, 1]) if len(n) else 0,
        held=held,
        first_sample=first,
        knot_index=knot_index,
        knot_s=np.column_stack([start_s, end_s]).ravel()[kept],
    )
