"""Band powers as NeuroKit2 computes them, so that studies that used it can be compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal

from physio_hqc.features._hrv_series import Series

_RATE_HZ = 100
_MIN_INTERVALS = 4
_DECIMALS = 6


def neurokit_powers(
    series: Series, wanted: NDArray[np.bool_], bands: tuple[tuple[float, float], ...]
) -> NDArray[np.float64]:
    """Return the band powers (m, 3) in ms² of the wanted windows; NaN elsewhere.

    One window after the other, as NeuroKit2 does it: whether it averages two segments or three
    depends on the last sample of each window, and only the same arithmetic gives the same number.
    """
    powers = np.full((series.n.size, len(bands)), np.nan)
    for row in np.flatnonzero(wanted & (series.n >= _MIN_INTERVALS)).tolist():
        # Beat times in whole ms give whole ms again; their rounding noise could cost a sample.
        rr = np.round(series.rr_ms[series.first[row] : series.stop[row]], _DECIMALS)
        if rr.min() > 0:
            powers[row] = _bins(*_density(_even(rr)), bands)
    return powers


def _even(rr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intervals at 100 Hz by quadratic splines, their mean taken off."""
    at = np.cumsum(rr / 1000)
    grid = np.arange(at[0], at[-1] + 1 / _RATE_HZ, 1 / _RATE_HZ)
    even = interpolate.make_interp_spline(at, rr, k=2)(np.minimum(grid, at[-1]))
    return np.asarray(even - even.mean())


def _density(even: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies in Hz and density in ms²/Hz: half the window a segment, padded twofold."""
    lowest = 2 * _RATE_HZ / (even.size / 2)
    width = min(int(2 / lowest * _RATE_HZ), even.size // 2)
    frequency, density = signal.welch(
        even, _RATE_HZ, "hann", nperseg=width, nfft=2 * width, detrend=False
    )
    # What takes more than half a segment is left out.
    enough = frequency >= lowest
    return frequency[enough], density[enough]


def _bins(
    frequency: NDArray[np.float64],
    density: NDArray[np.float64],
    bands: tuple[tuple[float, float], ...],
) -> list[float]:
    """Return the area over the frequencies that lie in each band, from the first to the last."""
    chosen = [(frequency >= low) & (frequency < high) for low, high in bands]
    return [float(np.trapezoid(density[band], frequency[band])) for band in chosen]
