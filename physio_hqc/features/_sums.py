"""Sums, means and quotients per window, without a loop over windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def divide(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """Divide where the divisor is above 0; NaN elsewhere."""
    out: FloatArray = np.divide(top, bottom, out=np.full(top.size, np.nan), where=bottom > 0)
    return out


def window_sums(values: FloatArray, edges: IntArray) -> FloatArray:
    """Return the sum of ``values`` between each pair of edges."""
    # Each window is summed by itself: differences of one long running sum would lose digits.
    padded = np.append(values, 0.0)
    sums: FloatArray = np.add.reduceat(padded, edges.ravel())[::2] if edges.size else np.empty(0)
    return np.where(edges[:, 1] > edges[:, 0], sums, 0.0)


def mean_sd(values: FloatArray, edges: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation (n - 1) of the finite values in each window."""
    finite = np.isfinite(values)
    center = float(values[finite].mean()) if finite.any() else 0.0
    away = np.where(finite, values - center, 0.0)
    n = window_sums(finite.astype(np.float64), edges)
    mean = divide(window_sums(away, edges), n)
    spread = window_sums(away**2, edges) - n * np.nan_to_num(mean) ** 2
    return mean + center, np.sqrt(divide(np.maximum(spread, 0.0), n - 1))
