"""Spectra of beat intervals for many windows at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal

from physio_hqc.features._hrv_series import Series, batches

RATE_HZ = 4.0
MAX_BRIDGE_S = 10.0
_MIN_SAMPLES = 16
_MIN_INTERVALS = 4
_MIN_LOMB_S = 2.0
_AR_ORDER = 16
_AR_TRACE = 1e-9
_SMALLEST_POLE, _LARGEST_POLE = 1e-3, 1 - 1e-12
_CHUNK_VALUES = 1 << 21


class Bands(NamedTuple):
    """Lower and upper limit in Hz of each band, ascending and without overlap."""

    vlf: tuple[float, float]
    lf: tuple[float, float]
    hf: tuple[float, float]


class Tachogram(NamedTuple):
    """Intervals (ms) at an even rate, stretch after stretch, and each window's part of it."""

    rr_ms: NDArray[np.float64]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]


def resample(series: Series) -> Tachogram:
    """Resample the series at 4 Hz and find the samples of each window.

    Intervals that touch are joined by a cubic spline, gaps up to 10 s by a straight line; a
    longer gap ends a stretch, and a window that reaches over one gets no samples.
    """
    m = series.n.size
    first, stop = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    at, rr = series.end_s, series.rr_ms
    if at.size == 0:
        return Tachogram(np.empty(0), first, stop)
    pause = np.concatenate([[np.inf], series.start_s[1:] - at[:-1]])
    stretch_first = np.flatnonzero(pause > MAX_BRIDGE_S)
    stretch_stop = np.append(stretch_first[1:], at.size)
    parts = [
        _even(at[a:b], rr[a:b], series.joined[a:b])
        for a, b in zip(stretch_first.tolist(), stretch_stop.tolist(), strict=True)
    ]
    offset = np.concatenate([[0], np.cumsum([part.size for part in parts])])

    some = series.n >= _MIN_INTERVALS
    begin, end = series.first[some], series.stop[some] - 1
    home = np.searchsorted(stretch_first, begin, side="right") - 1
    origin = at[stretch_first[home]]
    low = np.ceil((at[begin] - origin) * RATE_HZ - 1e-6).astype(np.int64)
    high = np.floor((at[end] - origin) * RATE_HZ + 1e-6).astype(np.int64) + 1
    together = end < stretch_stop[home]
    first[some] = offset[home] + low
    stop[some] = np.where(together, offset[home] + high, first[some])
    enough = stop - first >= _MIN_SAMPLES
    return Tachogram(np.concatenate(parts), first, np.where(enough, stop, first))


def welch_powers(
    tachogram: Tachogram, segment_s: float, detrend: str, bands: Bands
) -> NDArray[np.float64]:
    """Return the band powers (m, 3) in ms² by Welch's method; NaN without samples."""
    n = tachogram.stop - tachogram.first
    width = np.minimum(n, round(segment_s * RATE_HZ))
    step = np.maximum(width - width // 2, 1)
    n_segments = np.where(n > 0, (n - width // 2) // step, 0)
    window = np.repeat(np.arange(n.size), n_segments)
    rank = np.arange(window.size) - np.repeat(np.cumsum(n_segments) - n_segments, n_segments)
    start = tachogram.first[window] + rank * step[window]
    powers = np.zeros((n.size, len(bands)))
    for size in np.unique(width[n_segments > 0]).tolist():
        chosen = np.flatnonzero(width[window] == size)
        taper = signal.get_window("hann", size)
        weights = band_weights(np.arange(size // 2 + 1) * (RATE_HZ / size), bands)
        for part in np.array_split(chosen, 1 + chosen.size * size // _CHUNK_VALUES):
            pieces = tachogram.rr_ms[start[part][:, None] + np.arange(size)]
            density = _periodogram(_detrended(pieces, detrend), taper)
            np.add.at(powers, window[part], density @ weights)
    powers[n_segments == 0] = np.nan
    return powers / np.maximum(n_segments, 1)[:, None]


def burg_powers(tachogram: Tachogram, detrend: str, bands: Bands) -> NDArray[np.float64]:
    """Return the band powers (m, 3) in ms² by an autoregressive model of order 16.

    The density of the model is integrated in closed form, so that a line however sharp counts in
    full, and scaled to the variance of the samples, which is the model's own.
    """
    n = tachogram.stop - tachogram.first
    powers = np.full((n.size, len(bands)), np.nan)
    for size in np.unique(n[n > 2 * _AR_ORDER]).tolist():
        rows = np.flatnonzero(n == size)
        for part in np.array_split(rows, 1 + rows.size * size // _CHUNK_VALUES):
            pieces = tachogram.rr_ms[tachogram.first[part][:, None] + np.arange(size)]
            centered = _detrended(pieces, detrend)
            model, _ = _burg(centered)
            powers[part] = np.mean(centered**2, axis=1)[:, None] * model_shares(model, bands)
    return powers


def model_shares(model: NDArray[np.float64], bands: Bands) -> NDArray[np.float64]:
    """Return the share (r, 3) of an autoregressive model's variance that lies in each band.

    The density is a sum over the poles p of c (1 / (1 - p/z) + 1 / (1 - p z) - 1) on the unit
    circle, and each term has a logarithm as integral.
    """
    order = model.shape[1] - 1
    companion = np.zeros((model.shape[0], order, order))
    companion[:, 0] = -model[:, 1:]
    companion[:, np.arange(1, order), np.arange(order - 1)] = 1
    poles = np.linalg.eigvals(companion).astype(np.complex128)
    # Rounding can put the pole of a pure sine on the circle; poles at 0, which add nothing, must
    # differ from each other.
    size = np.maximum(np.abs(poles), _SMALLEST_POLE)
    spread = _SMALLEST_POLE * np.exp(2j * np.pi * np.arange(order) / order)
    poles = np.where(np.abs(poles) < _SMALLEST_POLE, spread, poles)
    poles *= np.minimum(1, _LARGEST_POLE / size)
    apart = 1 - poles[:, None, :] / poles[:, :, None]
    apart[:, np.arange(order), np.arange(order)] = 1
    weight = 1 / (apart * (1 - poles[:, None, :] * poles[:, :, None])).prod(axis=2)
    angle = 2 * np.pi * np.array(bands) / RATE_HZ
    turn, pole = np.exp(1j * angle), poles[:, :, None, None]
    area = angle - 1j * (np.log(1 - pole / turn) - np.log(1 - pole * turn))
    up_to = (weight[:, :, None, None] * area).sum(axis=1) / weight.sum(axis=1)[:, None, None]
    shares: NDArray[np.float64] = np.diff(up_to.real, axis=2)[:, :, 0] / np.pi
    return shares


def lomb_powers(
    series: Series, wanted: NDArray[np.bool_], detrend: str, bands: Bands
) -> NDArray[np.float64]:
    """Return the band powers (m, 3) in ms² by Lomb-Scargle, for the wanted windows.

    Sums over a window are differences of running sums over the recording, so that the cost does
    not depend on how the windows overlap. Windows of similar length share a frequency grid fine
    enough for the longest of them.
    """
    powers = np.full((series.n.size, len(bands)), np.nan)
    rows = np.flatnonzero(wanted & (series.n >= _MIN_INTERVALS) & (series.usable_s >= _MIN_LOMB_S))
    length = series.end_s[series.stop[rows] - 1] - series.start_s[series.first[rows]]
    group = np.ceil(np.log(length) / np.log(1.25)).astype(int)
    for step in np.unique(group).tolist():
        members = rows[group == step]
        longest = 1.25**step
        count = max(int((bands.hf[1] + 0.005) * 2 * longest) + 1, 2)
        frequency = np.arange(1, count + 1) / (2 * longest)
        powers[members] = _lomb_group(series, members, frequency, detrend, bands)
    return powers


def band_weights(frequency: NDArray[np.float64], bands: Bands) -> NDArray[np.float64]:
    """Return weights (f, 3) that integrate a density given at even frequencies over each band.

    The density is taken as straight between the frequencies, and the limits as exact: with short
    segments a band has few frequencies, and whole ones would misplace up to one at each limit.
    """
    spacing = frequency[1] - frequency[0]

    def up_to(limit: float) -> NDArray[np.float64]:
        place = np.clip((limit - frequency) / spacing, -1, 1)
        area = np.where(place <= 0, (1 + place) ** 2 / 2, 1 - (1 - place) ** 2 / 2)
        return np.asarray(area * spacing)

    return np.column_stack([up_to(high) - up_to(low) for low, high in bands])


def _even(
    at: NDArray[np.float64], rr: NDArray[np.float64], joined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return one stretch at 4 Hz: splines where intervals touch, straight lines across gaps."""
    grid = at[0] + np.arange(int(np.floor((at[-1] - at[0]) * RATE_HZ + 1e-6)) + 1) / RATE_HZ
    even: NDArray[np.float64] = np.interp(grid, at, rr)
    edges = np.append(np.flatnonzero(~joined[1:]) + 1, at.size).tolist()
    begin = 0
    for end in edges:
        if end - begin >= 3:
            low, high = np.searchsorted(grid, [at[begin], at[end - 1] + 1e-9])
            spline = interpolate.CubicSpline(at[begin:end], rr[begin:end])
            even[low:high] = spline(grid[low:high])
        begin = end
    return even


def _detrended(pieces: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Take the mean, or the least-squares line, off each row."""
    centered: NDArray[np.float64] = pieces - pieces.mean(axis=1, keepdims=True)
    if kind == "constant":
        return centered
    line = np.arange(pieces.shape[1]) - (pieces.shape[1] - 1) / 2
    return centered - np.outer(centered @ line / (line @ line), line)


def _periodogram(pieces: NDArray[np.float64], taper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the one-sided density (ms²/Hz) of each tapered row."""
    spectrum = np.fft.rfft(pieces * taper, axis=1)
    density = (spectrum.real**2 + spectrum.imag**2) / (RATE_HZ * (taper @ taper))
    doubled = slice(1, -1) if taper.size % 2 == 0 else slice(1, None)
    density[:, doubled] *= 2
    return density


def _burg(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return model coefficients (r, order + 1) and error power (r,) of each row, after Burg.

    A trace of noise is assumed, far below the resolution of beat times: without any, the heights
    of lines in a perfectly predictable series would be up to rounding.
    """
    forward, backward = x[:, 1:], x[:, :-1]
    model = np.ones((x.shape[0], 1))
    error = np.mean(x**2, axis=1)
    trace = _AR_TRACE * np.sum(forward**2 + backward**2, axis=1)
    for _ in range(_AR_ORDER):
        power = trace + np.einsum("rn,rn->r", forward, forward)
        power += np.einsum("rn,rn->r", backward, backward)
        cross = -2 * np.einsum("rn,rn->r", forward, backward)
        k = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0)[:, None]
        grown = np.pad(model, ((0, 0), (0, 1)))
        model = grown + k * grown[:, ::-1]
        error = error * (1 - k[:, 0] ** 2)
        forward, backward = (forward + k * backward)[:, 1:], (backward + k * forward)[:, :-1]
    return model, error


def _lomb_group(
    series: Series,
    rows: NDArray[np.int64],
    frequency: NDArray[np.float64],
    detrend: str,
    bands: Bands,
) -> NDArray[np.float64]:
    """Return the band powers of windows that share a frequency grid."""
    begin, end = int(series.first[rows].min()), int(series.stop[rows].max())
    time = series.end_s[begin:end] - series.end_s[begin]
    rr = series.rr_ms[begin:end] - series.rr_ms[begin:end].mean()
    low, high = series.first[rows] - begin, series.stop[rows] - begin
    n = (high - low).astype(float)
    mean, slope, center = _window_lines(time, rr, low, high, detrend)
    scale = 2 * _window_totals(series.rr_ms[begin:end] / 1000, low, high) / n
    weights = band_weights(frequency, bands)
    powers = np.zeros((rows.size, len(bands)))
    step = np.exp(2j * np.pi * (frequency[1] - frequency[0]) * time)
    turn = np.exp(2j * np.pi * frequency[0] * time) / step
    for weight in weights:
        turn *= step
        if not weight.any():
            continue
        ones = _window_sums(turn, low, high)
        values = _window_sums(rr * turn, low, high) - mean * ones
        if detrend == "linear":
            values -= slope * (_window_sums(time * turn, low, high) - center * ones)
        double = _window_sums(turn**2, low, high)
        shifted = values * np.exp(-0.5j * np.angle(double))
        cosines = (n + np.abs(double)) / 2
        sines = np.maximum(n - cosines, 1e-9)
        density = 0.5 * (shifted.real**2 / cosines + shifted.imag**2 / sines) * scale
        powers += density[:, None] * weight
    return powers


def _window_lines(
    time: NDArray[np.float64],
    rr: NDArray[np.float64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    detrend: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and slope of the intervals and mean of the times in each window."""
    mean, slope, center = np.zeros(low.size), np.zeros(low.size), np.zeros(low.size)
    for batch in batches(low, high):
        n = batch.inside.sum(axis=1)
        x, y = (np.where(batch.inside, v[batch.at], 0) for v in (time, rr))
        center[batch.rows], mean[batch.rows] = x.sum(axis=1) / n, y.sum(axis=1) / n
        if detrend == "linear":
            dx = np.where(batch.inside, x - center[batch.rows][:, None], 0)
            slope[batch.rows] = (dx * y).sum(axis=1) / (dx**2).sum(axis=1)
    return mean, slope, center


def _window_sums(
    x: NDArray[np.complex128], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.complex128]:
    """Return the sum of x[low:high] for each window."""
    running = np.zeros(x.size + 1, dtype=np.complex128)
    np.cumsum(x, out=running[1:])
    sums: NDArray[np.complex128] = running[high] - running[low]
    return sums


def _window_totals(
    x: NDArray[np.float64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sum of x[low:high] for each window."""
    running = np.concatenate([[0.0], np.cumsum(x)])
    totals: NDArray[np.float64] = running[high] - running[low]
    return totals
