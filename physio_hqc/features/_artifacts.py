"""Stretches in which a signal does not tell about the body."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._checks import as_window_array

FloatArray = NDArray[np.float64]


def as_stretches(artifacts: pd.DataFrame | ArrayLike | None) -> FloatArray:
    """Return stretches (k, 2) in s, sorted and joined where they overlap or touch.

    Raises `SignalError` unless ``artifacts`` is a table with ``onset_s`` and ``offset_s``, or
    onsets and offsets of shape (k, 2).
    """
    if artifacts is None:
        return np.empty((0, 2))
    stretches = as_window_array(artifacts, (0.0, 0.0), "artifacts")
    if not len(stretches):
        return stretches
    stretches = stretches[np.argsort(stretches[:, 0], kind="stable")]
    reached = np.maximum.accumulate(stretches[:, 1])
    apart = np.append(True, stretches[1:, 0] > reached[:-1])
    last = np.append(np.flatnonzero(apart)[1:] - 1, len(stretches) - 1)
    return np.column_stack([stretches[apart, 0], reached[last]])


def touches(stretches: FloatArray, onset: FloatArray, offset: FloatArray) -> NDArray[np.bool_]:
    """Tell for each interval [onset, offset] whether it meets one of the joined stretches."""
    if not len(stretches):
        return np.zeros(onset.size, dtype=bool)
    following = np.searchsorted(stretches[:, 1], onset, side="right")
    begins = np.append(stretches[:, 0], np.inf)[following]
    return np.asarray(begins <= offset)
