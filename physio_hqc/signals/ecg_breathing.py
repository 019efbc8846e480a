"""Breathing from the ECG: what it does to beat intervals and to the height of the R wave."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, signal

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import as_signal, check_sfreq
from physio_hqc.signals.beats import Beats, plain_beats

__all__ = ["ecg_respiration", "r_wave_heights"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_QRS_S = 0.06
_TEMPLATE_BEATS = 500
_LIKE_TEMPLATE = 0.8
_CHUNK_BEATS = 4096

_GRID_HZ = 4.0
_FFT = 1024
_CHUNK_WINDOWS = 2048
_SHORTEST_WINDOW_S = 16.0
_LONGEST_WINDOW_S = 256.0
_BAND_HZ = (0.065, 0.70)
# In s for intervals, as a share for heights.
_LEAST_SD = 1e-4
_DRIFT = signal.butter(2, 0.05, "highpass", fs=_GRID_HZ, output="sos")
_PAD = 60
_FEWEST_BEATS = 10
_LONGEST_PAUSE_S = 5.0
_LOCAL_BEATS = 31
_OUTLIER_MADS = 6.0

# A peak holds what lies within 0.045 Hz, the resolution of 32 s.
_AROUND_HZ = 0.045
_AGREE_HZ = 2.0 / 60.0
_ALONE = 0.6
_TOGETHER = 0.5
_LEAST_IN_HEIGHTS = 0.35
_ALONE_FACTOR = 0.8
_SLOWEST_FROM_INTERVALS_HZ = 0.15
_LOW_OVER_HIGH = 4.0
_OVERTONE_HZ = 0.05
_OVERTONE_SHARE = 0.7
_CONFIRM_HZ = 3.0 / 60.0
_CONFIRMING_SHARE = 0.4

_BOTH, _HEIGHTS, _INTERVALS = "both", "r waves", "intervals"


def r_wave_heights(ecg: ArrayLike, sfreq: float, peaks: ArrayLike) -> FloatArray:
    """Measure the height of each QRS complex, which breathing modulates.

    The complexes, 0.06 s to either side of the peak, are compared with their median shape: the
    height is the least-squares gain on that shape times its own height, peak to trough. Noise
    reaches it far less than it reaches a single sample, and slow drift hardly at all.

    Parameters
    ----------
    ecg : array-like, shape (n,)
        As recorded or cleaned, in any unit; NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz.
    peaks : array-like, shape (k,)
        R peaks in samples, as `physio_hqc.signals.detect_r_peaks` returns them.

    Returns
    -------
    ndarray, shape (k,)
        In the unit of the ECG; NaN at beats unlike the median shape (correlation under 0.8), at
        the ends of the signal and beside missing samples.

    Raises
    ------
    SignalError
        If an argument is not one row of numbers.

    References
    ----------
    Charlton P. H. et al. (2018). Breathing rate estimation from the electrocardiogram and
    photoplethysmogram: a review. IEEE Reviews in Biomedical Engineering 11, 2.
    doi:10.1109/RBME.2017.2763681 (amplitude modulation).

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import r_wave_heights
    >>> times = np.arange(0, 8, 0.004)
    >>> ecg = sum(h * np.exp(-(((times - c) / 0.02) ** 2)) for c, h in ((2, 1), (4, 1), (6, 1.2)))
    >>> r_wave_heights(ecg, 250, [500, 1000, 1500]).round(2).tolist()
    [1.0, 1.0, 1.2]
    """
    x, rate = as_signal(ecg, "ecg"), check_sfreq(sfreq)
    at = as_signal(peaks, "peaks")
    heights = np.full(at.size, np.nan)
    offsets = np.arange(-_QRS_S, _QRS_S + 1e-9, min(1 / rate, _QRS_S / 8)) * rate
    if at.size == 0 or x.size < 2:
        return heights
    sample = np.unique(np.linspace(0, at.size - 1, _TEMPLATE_BEATS).astype(int))
    pieces = _complexes(x, at[sample], offsets)
    whole = np.isfinite(pieces).all(axis=1)
    if not whole.any():
        return heights
    shape = np.median(pieces[whole], axis=0)
    power = float(shape @ shape)
    if power <= 0:
        return heights
    for first in range(0, at.size, _CHUNK_BEATS):
        part = _complexes(x, at[first : first + _CHUNK_BEATS], offsets)
        gain = part @ shape / power
        likeness = gain * np.sqrt(power / np.maximum((part**2).sum(axis=1), np.finfo(float).tiny))
        gain[~(likeness >= _LIKE_TEMPLATE)] = np.nan
        heights[first : first + _CHUNK_BEATS] = gain * np.ptp(shape)
    return heights


def _complexes(x: FloatArray, at: FloatArray, offsets: FloatArray) -> FloatArray:
    """Return the signal around each peak, between samples, each piece around its own mean."""
    place = at[:, None] + offsets
    inside = np.isfinite(place) & (place >= 0) & (place <= x.size - 1)
    place = np.where(inside, place, 0.0)
    low = np.minimum(place.astype(np.int64), x.size - 2)
    share = place - low
    before, after = x[np.maximum(low - 1, 0)], x[np.minimum(low + 2, x.size - 1)]
    left, right = x[low], x[low + 1]
    # A cubic through the four samples around: straight lines would cut the peaks of slow ECG.
    bend = (3 * (left - right) + after - before) * share
    cubic = left + share / 2 * (
        right - before + share * (2 * before - 5 * left + 4 * right - after + bend)
    )
    pieces = np.where(inside, cubic, np.nan)
    centered: FloatArray = pieces - pieces.mean(axis=1, keepdims=True)
    return centered


class _Grid(NamedTuple):
    """What breathing modulates, at 4 Hz, stretch after stretch; NaN where it is not known."""

    time_s: FloatArray
    stretch: IntArray
    mean_rr: FloatArray
    intervals: FloatArray
    heights: FloatArray


class _Verdict(NamedTuple):
    """Breathing frequency in Hz per window (NaN: none), how sure, and what it rests on."""

    hz: FloatArray
    confidence: FloatArray
    source: NDArray[np.object_]


def ecg_respiration(
    beats: Beats | ArrayLike,
    r_heights: ArrayLike | None = None,
    *,
    window_s: float = 32.0,
    step_s: float = 4.0,
    max_rr_s: float = 3.0,
) -> pd.DataFrame:
    """Estimate the rate of breathing from heart beats, in windows of 32 s.

    Breathing lengthens and shortens beat intervals and lets the R wave grow and shrink. Both are
    resampled at 4 Hz, and their spectra (Hann) searched between 4 and 42 breaths a minute, below
    half the heart rate. A rate is given where the two agree within 2 a minute, where the R waves
    alone leave no doubt, or, without R waves, where the intervals do; each time the peak must
    hold a fixed share of the power. Everything else is NaN with a reason. A rate that less than
    four in ten of the overlapping windows confirm within 3 a minute is withheld too.

    From intervals alone nothing below 9 breaths a minute is given: slow breathing cannot be told
    there from the waves of blood pressure near 0.1 Hz.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        A corrected series, or plain beat times in s.
    r_heights : array-like, shape (k0,), optional
        Height of the R wave of each detected beat (``beats.raw_times_s``, or the plain times), as
        `r_wave_heights` returns it; NaN where it is not known.
    window_s, step_s : float
        Length of the windows, at least 16 s, and how far apart they start, in s.
    max_rr_s : float
        For plain beat times: a longer interval in s counts as a gap.

    Returns
    -------
    DataFrame
        One row per window: ``onset_s``, ``offset_s``, ``rate`` (1/min, NaN where not valid),
        ``confidence`` (0 to 1: share of the power at the peak, less where only one of the two
        carries it), ``source`` (``both``, ``r waves``, ``intervals`` or empty), ``valid``,
        ``reason``. No window reaches over a gap in the beats.

    Raises
    ------
    SignalError
        If ``r_heights`` does not fit the beats, or an argument makes no sense.

    Notes
    -----
    The modulations, and that they are fused, follow the review of Charlton et al.; that windows
    without agreement give no rate, and their length, follow Karlen et al. The criterion, the share
    of power around the peak, and its limits are this package's own.

    References
    ----------
    Charlton P. H. et al. (2016). An assessment of algorithms to estimate respiratory rate from
    the electrocardiogram and photoplethysmogram. Physiological Measurement 37, 610.
    doi:10.1088/0967-3334/37/4/610.
    Karlen W. et al. (2013). Multiparameter respiratory rate estimation from the
    photoplethysmogram. IEEE Transactions on Biomedical Engineering 60, 1946.
    doi:10.1109/TBME.2013.2246160.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import ecg_respiration
    >>> times = [0.0]
    >>> while times[-1] < 120:
    ...     times.append(times[-1] + 0.85 + 0.04 * np.sin(2 * np.pi * 0.25 * times[-1]))
    >>> course = ecg_respiration(times)
    >>> bool(course["valid"].all()), course["rate"].round(0).unique().tolist()
    (True, [15.0])
    """
    if not _SHORTEST_WINDOW_S <= window_s <= _LONGEST_WINDOW_S:
        limits = f"{_SHORTEST_WINDOW_S:g} to {_LONGEST_WINDOW_S:g} s"
        raise SignalError(f"window_s is {window_s:g}: pass {limits}")
    if not 1 / _GRID_HZ <= step_s < np.inf:
        raise SignalError(f"step_s is {step_s:g}: pass at least {1 / _GRID_HZ:g} s")
    given = beats if isinstance(beats, Beats) else plain_beats(beats, max_rr_s=max_rr_s)
    grid = _on_grid(given, _heights_of(given, r_heights))
    size, step = round(window_s * _GRID_HZ), round(step_s * _GRID_HZ)
    first = _window_starts(grid.stretch, size, step)
    chunks = np.array_split(first, 1 + first.size // _CHUNK_WINDOWS)
    parts = [_judged(grid, chunk, size) for chunk in chunks]
    verdict = _Verdict(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    onset = grid.time_s[first]
    confirmed = _confirmed(verdict.hz, grid.stretch[first], size // (2 * step))
    valid = np.isfinite(verdict.hz) & confirmed
    return pd.DataFrame(
        {
            "onset_s": onset,
            "offset_s": onset + size / _GRID_HZ,
            "rate": np.where(valid, 60 * verdict.hz, np.nan),
            "confidence": np.where(valid, verdict.confidence, 0.0),
            "source": np.where(valid, verdict.source, ""),
            "valid": valid,
            "reason": _reasons(grid, first, size, verdict, valid),
        }
    )


def _heights_of(beats: Beats, r_heights: ArrayLike | None) -> FloatArray:
    """Return the height of the R wave at each beat, relative to the usual; NaN where not known."""
    heights = np.full(beats.times_s.size, np.nan)
    if r_heights is None:
        return heights
    raw = as_signal(r_heights, "r_heights")
    if raw.size != beats.raw_times_s.size:
        raise SignalError(
            f"r_heights has {raw.size} values for {beats.raw_times_s.size} detected beats: "
            "pass one per beat"
        )
    real = (beats.raw_index >= 0) & (beats.kind != "ectopic")
    heights[real] = raw[beats.raw_index[real]]
    if not np.isfinite(heights).any():
        return heights
    running = pd.Series(heights).rolling(_LOCAL_BEATS, center=True, min_periods=5)
    away = np.abs(heights - running.median().to_numpy())
    usual = pd.Series(away).rolling(_LOCAL_BEATS, center=True, min_periods=5).median().to_numpy()
    heights[away > _OUTLIER_MADS * usual] = np.nan
    size = float(np.nanmedian(np.abs(heights))) if np.isfinite(heights).any() else 0.0
    return heights / size if size > 0 else np.full(heights.size, np.nan)


def _on_grid(beats: Beats, heights: FloatArray) -> _Grid:
    """Resample intervals and heights between gaps; slow drift is taken off."""
    times = beats.times_s
    first = np.flatnonzero(np.isnan(beats.rr_s))
    stop = np.append(first[1:], times.size)[: first.size]
    parts = []
    for a, b in zip((first + 1).tolist(), stop.tolist(), strict=True):
        if b - a < _FEWEST_BEATS or times[b - 1] - times[a] < _SHORTEST_WINDOW_S:
            continue
        known, rr = times[a:b], beats.rr_s[a:b]
        at = known[0] + np.arange(int((known[-1] - known[0]) * _GRID_HZ) + 1) / _GRID_HZ
        stretch = np.full(at.size, a, dtype=np.int64)
        resampled = (_resampled(known, values, at) for values in (rr, heights[a:b]))
        parts.append((at, stretch, np.interp(at, known, rr), *resampled))
    if not parts:
        none = np.empty(0)
        return _Grid(none, np.empty(0, dtype=np.int64), none, none, none)
    return _Grid(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _window_starts(stretch: IntArray, size: int, step: int) -> IntArray:
    """Return the first samples of the windows that lie inside one stretch."""
    begins = np.flatnonzero(np.diff(stretch, prepend=-1))
    ends = np.append(begins[1:], stretch.size)[: begins.size]
    starts = [
        np.arange(a, b - size + 1, step)
        for a, b in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *starts])


def _resampled(times: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """Return the values at even times without their drift; NaN where several in a row lack."""
    out = np.full(at.size, np.nan)
    known = np.isfinite(values)
    if known.sum() < _FEWEST_BEATS or at.size < 2:
        return out
    even = interpolate.CubicSpline(times[known], values[known])(at)
    even = signal.sosfiltfilt(_DRIFT, even - np.median(even), padlen=min(at.size - 1, _PAD))
    after = np.minimum(np.searchsorted(times[known], at), int(known.sum()) - 1)
    pause = times[known][after] - times[known][np.maximum(after - 1, 0)]
    near = (at >= times[known][0]) & (at <= times[known][-1]) & (pause <= _LONGEST_PAUSE_S)
    out[near] = even[near]
    return out


def _judged(grid: _Grid, first: IntArray, size: int) -> _Verdict:
    """Return the breathing frequency of each window."""
    at = first[:, None] + np.arange(size)
    hz: FloatArray = np.arange(_FFT // 2 + 1, dtype=np.float64) * (_GRID_HZ / _FFT)
    # The heart samples breathing once a beat: nothing faster than half its rate can be seen.
    fastest = np.minimum(_BAND_HZ[1], 0.5 / grid.mean_rr[at].mean(axis=1))
    band = (hz >= _BAND_HZ[0]) & (hz <= fastest[:, None])
    intervals, heights = (_spectra(x[at], band) for x in (grid.intervals, grid.heights))
    alone = _from_intervals(intervals, hz)
    fused = _from_both(intervals, heights, hz, alone.hz)
    with_heights = heights.any(axis=1)
    return _Verdict(*(np.where(with_heights, b, a) for a, b in zip(alone, fused, strict=True)))


def _spectra(pieces: FloatArray, band: BoolArray) -> FloatArray:
    """Return the share of the power in the band at each frequency.

    All 0 for pieces with a gap, and for those in which nothing varies but rounding.
    """
    centered = np.nan_to_num(pieces - pieces.mean(axis=1, keepdims=True))
    taper = signal.get_window("hann", pieces.shape[1])
    varies = centered.std(axis=1, keepdims=True) > _LEAST_SD
    power = np.where(band & varies, np.abs(np.fft.rfft(centered * taper, _FFT)) ** 2, 0.0)
    total = power.sum(axis=1, keepdims=True)
    share: FloatArray = np.divide(power, total, out=np.zeros_like(power), where=total > 0)
    return share


def _peak(power: FloatArray, hz: FloatArray) -> FloatArray:
    """Return the frequency of the largest power of each row, placed between bins."""
    top = power.argmax(axis=1)
    rows = np.arange(top.size)
    middle = np.clip(top, 1, hz.size - 2)
    left, center, right = (power[rows, middle + step] for step in (-1, 0, 1))
    bend = left - 2 * center + right
    shift = np.zeros(top.size)
    inside = (center >= left) & (center >= right) & (bend < 0)
    np.divide((left - right) / 2, bend, out=shift, where=inside)
    frequency: FloatArray = hz[middle] + np.clip(shift, -0.5, 0.5) * (hz[1] - hz[0])
    return frequency


def _held(power: FloatArray, hz: FloatArray, at: FloatArray) -> FloatArray:
    """Return the share of the power of each row that lies around a frequency."""
    around = np.where(np.abs(hz - at[:, None]) <= _AROUND_HZ, power, 0.0).sum(axis=1)
    total = power.sum(axis=1)
    share: FloatArray = np.divide(around, total, out=np.zeros_like(total), where=total > 0)
    return share


def _from_intervals(power: FloatArray, hz: FloatArray) -> _Verdict:
    """Find breathing above 9 a minute in the intervals alone."""
    slow = hz < _SLOWEST_FROM_INTERVALS_HZ
    low, high = np.where(slow, power, 0.0), np.where(slow, 0.0, power)
    at, sure = _peak(high, hz), _held(high, hz, _peak(high, hz))
    low_power, high_power = low.sum(axis=1), high.sum(axis=1)
    # Breathing below the limit may show up here with its overtone.
    overtone = np.abs(at - 2 * _peak(low, hz)) < _OVERTONE_HZ
    overtone &= low_power > _OVERTONE_SHARE * high_power
    clear = (sure >= _ALONE) & (low_power <= _LOW_OVER_HIGH * high_power) & (high_power > 0)
    clear &= ~overtone & (at > _SLOWEST_FROM_INTERVALS_HZ + hz[1])
    return _verdict(clear, at, _ALONE_FACTOR * sure, _INTERVALS)


def _from_both(
    intervals: FloatArray, heights: FloatArray, hz: FloatArray, from_intervals: FloatArray
) -> _Verdict:
    """Find breathing in R waves and intervals: together, or where the R waves leave no doubt."""
    joint = np.sqrt(intervals * heights)
    at, at_heights = _peak(joint, hz), _peak(heights, hz)
    sure, sure_heights = _held(joint, hz, at), _held(heights, hz, at_heights)
    agree = (np.abs(at - at_heights) <= _AGREE_HZ) & (sure >= _TOGETHER)
    agree &= _held(heights, hz, at) >= _LEAST_IN_HEIGHTS
    verdict = _verdict(agree, at, sure, _BOTH)
    close = np.abs(from_intervals - at_heights) <= _AGREE_HZ
    for clear, where, how_sure, source in (
        (sure_heights >= _ALONE, at_heights, _ALONE_FACTOR * sure_heights, _HEIGHTS),
        (close, from_intervals, _ALONE_FACTOR * _held(intervals, hz, at), _BOTH),
    ):
        other = _verdict(clear, where, how_sure, source)
        none = np.isnan(verdict.hz)
        verdict = _Verdict(*(np.where(none, b, a) for a, b in zip(verdict, other, strict=True)))
    return verdict


def _verdict(clear: BoolArray, hz: FloatArray, sure: FloatArray, source: str) -> _Verdict:
    """Return the frequencies that are clear, and nothing elsewhere."""
    sources = np.where(clear, source, "").astype(object)
    return _Verdict(np.where(clear, hz, np.nan), np.where(clear, sure, 0.0), sources)


def _confirmed(hz: FloatArray, stretch: IntArray, reach: int) -> BoolArray:
    """Tell which frequencies enough of the windows before and after find as well."""
    found, near = np.zeros(hz.size), np.zeros(hz.size)
    for by in range(1, min(reach, hz.size - 1) + 1):
        together = stretch[by:] == stretch[:-by]
        agree = together & (np.abs(hz[by:] - hz[:-by]) <= _CONFIRM_HZ)
        for side in (slice(by, None), slice(None, -by)):
            near[side] += together
            found[side] += agree
    confirmed: BoolArray = found >= _CONFIRMING_SHARE * near
    return confirmed


def _reasons(
    grid: _Grid, first: IntArray, size: int, verdict: _Verdict, valid: BoolArray
) -> NDArray[np.object_]:
    """Say of each window without a rate why it has none."""
    unknown = np.concatenate([[0], np.cumsum(np.isnan(grid.heights))])
    no_heights = unknown[first + size] > unknown[first]
    return np.select(
        [valid, np.isfinite(verdict.hz), no_heights],
        [
            "",
            "not confirmed by the windows around it",
            "no clear breathing above 9/min in the beat intervals",
        ],
        "no clear breathing in R waves and beat intervals",
    ).astype(object)
