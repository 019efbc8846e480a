"""Where the samples of a stream stand on an even grid, told by its time base alone.

An exporter lays samples out with it, and an importer finds the same samples again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WHOLE = 1e-6  # of a sample: times nearer than this to a grid point stand on it


@dataclass(frozen=True)
class Stretch:
    """A gap-free segment: `n` samples from `t_start` (s) on, at `sfreq` (Hz)."""

    n: int
    t_start: float
    sfreq: float


def sample_places(
    stretches: list[Stretch], sfreq: float, start_s: float = 0.0
) -> NDArray[np.int64]:
    """Return the grid point of every sample: the nearest one, and each at most once.

    Parameters
    ----------
    stretches : list of Stretch
        In the order of the samples.
    sfreq : float
        Rate of the grid in Hz, at least that of every stretch.
    start_s : float
        Time of grid point 0.

    Returns
    -------
    ndarray, shape (n,)
        Strictly ascending; sample i stands at ``start_s + places[i] / sfreq``.

    Examples
    --------
    >>> sample_places([Stretch(3, 0.0, 10.0), Stretch(2, 1.0, 9.0)], 10.0).tolist()
    [0, 1, 2, 10, 11]
    """
    parts: list[NDArray[np.int64]] = []
    free: int | None = None
    for stretch in stretches:
        if not stretch.n:
            continue
        first = (stretch.t_start - start_s) * sfreq + 0.5
        if abs(first - 0.5 - round(first - 0.5)) < _WHOLE:
            first = round(first - 0.5) + 0.5
        whole = math.floor(first)
        index = np.arange(stretch.n, dtype=np.int64)
        # Above one by what a step adds to it: a rate that is the grid's own adds exactly nothing.
        excess = max(sfreq / stretch.sfreq - 1.0, 0.0)
        part = index + (whole + np.floor((first - whole) + index * excess).astype(np.int64))
        if free is not None and part[0] < free:
            # Stretches may touch: what would share a place moves on, never back.
            part = np.maximum.accumulate(np.maximum(part - index, free)) + index
        free = int(part[-1]) + 1
        parts.append(part)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
