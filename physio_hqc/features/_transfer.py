"""Gain from systolic pressure to the RR interval by cross-spectra, for all windows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
IntArray = NDArray[np.int64]

RATE_HZ = 4.0
SEGMENT_S = 60.0
# Pairs farther apart than this are not joined; a calibration pause of three beats is.
BRIDGE_S = 5.0

_N = int(SEGMENT_S * RATE_HZ)
_HOP = _N // 2


@dataclass(frozen=True)
class Spectra:
    """Averaged spectra of each window.

    Attributes
    ----------
    freqs : ndarray, shape (f,)
        Hz.
    gain, coherence : ndarray, shape (m, f)
        |Sxy| / Sxx in ms/mmHg and |Sxy|² / (Sxx Syy); NaN without segments.
    n_segments : ndarray, shape (m,)
        Segments without a gap.
    bridged : ndarray, shape (m,)
        Share of the window's time between pairs with beats left out between them.
    """

    freqs: FloatArray
    gain: FloatArray
    coherence: FloatArray
    n_segments: IntArray
    bridged: FloatArray


def spectra_of(
    times: FloatArray, sbp: FloatArray, rr: FloatArray, bounds: FloatArray, highest_hz: float
) -> Spectra:
    """Compute Welch spectra of SBP and RR and between them in every window.

    Both series are interpolated linearly at the same beats to 4 Hz, which damps both alike and
    leaves their ratio as it is; 60 s at a time, overlapping by half, without their linear
    trend, under a Hann window. A segment with a gap is left out. Segments that several windows
    share are transformed once.

    Parameters
    ----------
    times : ndarray, shape (n,)
        When each RR interval begins, in s, ascending.
    sbp, rr : ndarray, shape (n,)
        Systolic pressure in mmHg and interval in ms of that beat; NaN where missing.
    bounds : ndarray, shape (m, 2)
        Onset and offset of the windows in s.
    highest_hz : float
        Frequencies above are not wanted.
    """
    every = np.fft.rfftfreq(_N, 1 / RATE_HZ).astype(np.float64)
    freqs: FloatArray = every[every <= highest_hz + 1e-9]
    grid_0, x, y, bridged = _even(times, sbp, rr)
    window, start = _segments(bounds, grid_0, x.size)
    places, inverse = np.unique(start, return_inverse=True)
    whole = _no_gap(x, places)
    powers = np.zeros((places.size, 3, freqs.size), dtype=np.complex128)
    powers[whole] = _cross_powers(x, y, places[whole], freqs.size)
    n = np.bincount(window[whole[inverse]], minlength=len(bounds)).astype(np.int64)
    sums = _summed(powers[inverse], window, len(bounds))
    sxx, syy, sxy = sums[:, 0].real, sums[:, 1].real, np.abs(sums[:, 2])
    gain, coherence = (np.full(sxx.shape, np.nan) for _ in range(2))
    varies = (sxx > 1e-12) & (syy > 1e-12)
    np.divide(sxy, sxx, out=gain, where=varies)
    np.divide(sxy * sxy, sxx * syy, out=coherence, where=varies)
    return Spectra(freqs, gain, coherence, n, _share(bridged, bounds, grid_0))


def significant_coherence(n_segments: IntArray, p: float = 0.05) -> FloatArray:
    """Return the coherence that independent series exceed with probability ``p``.

    Segments overlapping by half under a Hann window count as about 9 / 11 of as many that do
    not overlap (Welch, 1967).
    """
    independent = np.maximum(n_segments * 9 / 11, 1.0)
    limit = np.ones(n_segments.shape)
    more = independent > 1
    limit[more] = 1 - p ** (1 / (independent[more] - 1))
    return limit


def _even(
    times: FloatArray, sbp: FloatArray, rr: FloatArray
) -> tuple[int, FloatArray, FloatArray, FloatArray]:
    """Return first grid number, SBP, RR at 4 Hz (NaN in gaps) and where beats are left out."""
    known = np.flatnonzero(np.isfinite(sbp) & np.isfinite(rr))
    if known.size < 2:
        return 0, np.empty(0), np.empty(0), np.empty(0)
    at = times[known]
    first, last = int(np.ceil(at[0] * RATE_HZ)), int(np.floor(at[-1] * RATE_HZ))
    grid = np.arange(first, last + 1) / RATE_HZ
    before = np.clip(np.searchsorted(at, grid, side="right") - 1, 0, at.size - 2)
    apart = (np.diff(at) > BRIDGE_S)[before]
    bridged = (np.diff(known) > 1)[before]
    x, y = (np.where(apart, np.nan, np.interp(grid, at, v[known])) for v in (sbp, rr))
    return first, x, y, (bridged & ~apart).astype(np.float64)


def _segments(bounds: FloatArray, grid_0: int, size: int) -> tuple[IntArray, IntArray]:
    """Return window number and first sample of every segment, in order of the windows."""
    first = np.maximum(np.ceil(bounds[:, 0] * RATE_HZ - 1e-9).astype(np.int64) - grid_0, 0)
    stop = np.minimum(np.ceil(bounds[:, 1] * RATE_HZ - 1e-9).astype(np.int64) - grid_0, size)
    n = np.maximum((stop - first - _N) // _HOP + 1, 0)
    window = np.repeat(np.arange(len(bounds)), n)
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return window, first[window] + _HOP * within


def _no_gap(x: FloatArray, places: IntArray) -> NDArray[np.bool_]:
    """Tell which segments hold no missing value."""
    missing = np.concatenate(([0], np.cumsum(np.isnan(x))))
    return np.asarray(missing[places + _N] == missing[places])


def _cross_powers(x: FloatArray, y: FloatArray, places: IntArray, n_freqs: int) -> ComplexArray:
    """Return Sxx, Syy and Sxy of each segment, shape (segments, 3, frequencies)."""
    taper = np.hanning(_N + 1)[:-1]
    ramp = np.arange(_N) - (_N - 1) / 2
    ramp /= np.sqrt((ramp**2).sum())
    at = places[:, None] + np.arange(_N)
    spectra = []
    for values in (x, y):
        part = values[at]
        part -= part.mean(axis=1, keepdims=True)
        part -= (part @ ramp)[:, None] * ramp
        spectra.append(np.fft.rfft(part * taper, axis=1)[:, :n_freqs])
    fx, fy = spectra
    return np.stack((np.abs(fx) ** 2 + 0j, np.abs(fy) ** 2 + 0j, np.conj(fx) * fy), axis=1)


def _summed(values: ComplexArray, window: IntArray, n_windows: int) -> ComplexArray:
    """Return the sum over the segments of each window."""
    sums = np.zeros((n_windows, *values.shape[1:]), dtype=np.complex128)
    if len(values):
        rows, first = np.unique(window, return_index=True)
        sums[rows] = np.add.reduceat(values, first, axis=0)
    return sums


def _share(marked: FloatArray, bounds: FloatArray, grid_0: int) -> FloatArray:
    """Return which share of each window's grid points is marked."""
    total = np.concatenate(([0.0], np.cumsum(marked)))
    edges = np.ceil(bounds * RATE_HZ - 1e-9).astype(np.int64) - grid_0
    edges = np.clip(edges, 0, marked.size)
    n = edges[:, 1] - edges[:, 0]
    out = np.zeros(len(bounds))
    np.divide(total[edges[:, 1]] - total[edges[:, 0]], n, out=out, where=n > 0)
    return out
