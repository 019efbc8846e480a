"""Respiratory sinus arrhythmia per window: Porges-Bohrer, and peak to valley of each breath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, signal

from physio_hqc.errors import SignalError
from physio_hqc.features._hrv_gates import Gate, Limits, apply_limits, limits_of
from physio_hqc.features._hrv_series import Series, lay_out, log
from physio_hqc.features._respiration import breath_columns
from physio_hqc.features._windows import Reasons, as_windows
from physio_hqc.signals._checks import as_signal
from physio_hqc.signals.beats import Beats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PORGES_COLUMNS = ("RSA_PorgesBohrer", "RSA_PorgesBohrer_N")
P2T_COLUMNS = ("RSA_P2T_Mean", "RSA_P2T_SD", "RSA_P2T_N", "RSA_P2T_NoRSA")
RSA_GATE = Gate(120, 60, minimum_n=3)

_RATE_HZ = 2.0
_POLYNOMIAL_POINTS, _POLYNOMIAL_ORDER = 21, 3
_FILTER_ORDER = 4
_EPOCH_S = 30.0
_EPOCH_SHARE = 0.9
_NO_VARIANCE = 1e-9
_WIDER_S = 0.75
_INTERVALS = ("begin", "inside")
_CHUNK_SAMPLES = 1 << 21


def rsa(
    beats: Beats | ArrayLike,
    windows: ArrayLike | None = None,
    *,
    breaths: pd.DataFrame | None = None,
    hf: tuple[float, float] = (0.12, 0.40),
    intervals: str = "begin",
    max_rr_s: float = 3.0,
    gates: Mapping[str, Sequence[float]] | None = None,
    max_corrected: float = 0.20,
    flag_corrected: float = 0.05,
) -> pd.DataFrame:
    """Compute respiratory sinus arrhythmia in every window.

    Porges-Bohrer: the beat intervals (ms, placed at the beat that ends them) are resampled at
    2 Hz by cubic splines; a moving cubic polynomial of 21 points is subtracted; a zero-phase
    Butterworth band-pass keeps ``hf``; of every 30 s from the onset of the window the variance
    is taken (n - 1), and the mean of their natural logarithms returned. 30 s count if beats cover
    27 s of them. A gap in the beats is not bridged: either side is filtered by itself.

    This chain does not treat all breathing alike. The polynomial follows the slower waves in part
    and overshoots others: it passes 0.9 of the variance at 0.16 Hz, 1.5 at 0.20, 1.25 at 0.25
    and 0.75 at 0.30 Hz, so that a sine of 30 ms (variance 450 ms², ln 6.109) at 0.25 Hz gives
    about 6.33. That is the published estimator; nothing is corrected here. NeuroKit2 0.2.13 feeds
    it with heart rate instead of the interval and divides by 1000: its value has another unit.

    Peak to valley, where breaths are given: the longest interval of expiration minus the shortest
    of inspiration, both phases widened by 750 ms at their end. A negative difference counts as 0.
    Breaths without an interval in both, or with a gap in the beats, are missing and counted. A
    window takes the valid breaths that lie wholly inside it. An interval belongs to the phase in
    which it begins. NeuroKit2 asks that it lies wholly in the widened phase
    (``intervals="inside"``): at slow heart rates the shortest interval, which begins where
    inspiration ends, then falls out, and on simulated beats with a known swing of 79 ms at 51
    beats a minute 19 ms remain, where the default finds 73.

    Parameters
    ----------
    beats : Beats or array-like, shape (k,)
        A corrected series, or plain beat times in s.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open. Default: one window, first to last beat.
    breaths : DataFrame, optional
        As `physio_hqc.signals.detect_breaths` returns them, on the clock of the beats. Breathing
        estimated from the ECG does not serve: it is derived from what is measured here.
    hf : tuple of float
        Band in Hz of Porges-Bohrer.
    intervals : {"begin", "inside"}
        Which intervals peak to valley takes: those that begin in a widened phase, or those that
        lie wholly inside it.
    max_rr_s : float
        For plain beat times: a longer interval in s counts as a gap.
    gates : mapping, optional
        ``RSA_PorgesBohrer`` or ``RSA_P2T_Mean`` to (recommended s, minimum s) of usable beats,
        over the default of 120 and 60 s.
    max_corrected, flag_corrected : float
        Windows with a larger share of corrected beats give no values, or flagged ones.

    Returns
    -------
    DataFrame, m rows
        ``RSA_PorgesBohrer`` (ln ms²) and ``RSA_PorgesBohrer_N`` (epochs of 30 s); with breaths
        also ``RSA_P2T_Mean``, ``RSA_P2T_SD`` (ms), ``RSA_P2T_N`` (breaths that gave a value) and
        ``RSA_P2T_NoRSA`` (breaths that did not).

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument has the wrong shape, or ``breaths`` lacks a column.

    References
    ----------
    Porges S. W., Bohrer R. E. (1990). The analysis of periodic processes in psychophysiological
    research. In: Principles of psychophysiology, Cambridge University Press, 708-753.
    Lewis G. F. et al. (2012). Statistical strategies to quantify respiratory sinus arrhythmia:
    are commonly used metrics equivalent? Biological Psychology 89, 349.
    doi:10.1016/j.biopsycho.2011.11.009.
    Grossman P., van Beek J., Wientjes C. (1990). A comparison of three quantification methods for
    estimation of respiratory sinus arrhythmia. Psychophysiology 27, 702.
    doi:10.1111/j.1469-8986.1990.tb03198.x.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import rsa
    >>> times = [0.0]
    >>> while times[-1] < 130:
    ...     times.append(times[-1] + 0.8 + 0.03 * np.sin(2 * np.pi * 0.25 * times[-1]))
    >>> table = rsa(times, [[0, 120], [0, 50]])
    >>> bool(6.1 < table["RSA_PorgesBohrer"][0] < 6.5)
    True
    >>> table.attrs["reasons"]["RSA_PorgesBohrer"][1]
    '50 s usable, needs 60 s'
    """
    low, high = (float(edge) for edge in hf)
    if not 0 < low < high < _RATE_HZ / 2:
        raise SignalError(f"hf is {hf}: pass two frequencies between 0 and {_RATE_HZ / 2:g} Hz")
    if intervals not in _INTERVALS:
        raise SignalError(f"intervals is {intervals!r}: use one of {', '.join(_INTERVALS)}")
    series = lay_out(beats, windows, max_rr_s)
    bounds = _bounds(beats, windows)
    checked = limits_of(None, max_corrected, flag_corrected)
    limits = Limits(_gates(gates), checked.max_corrected, checked.flag_corrected)
    reasons = Reasons(len(bounds))
    values = _porges_bohrer(series, bounds, (low, high), reasons, limits)
    if breaths is not None:
        inhale, exhale, end = breath_columns(breaths)
        swing = _swings(series, inhale, exhale, end, intervals)
        values |= _peak_to_valley(swing, inhale, end, bounds, reasons)
        apply_limits(reasons, ("RSA_P2T_Mean", "RSA_P2T_SD"), series, limits)
    return reasons.frame(values)


def _bounds(beats: Beats | ArrayLike, windows: ArrayLike | None) -> FloatArray:
    """Return the windows (m, 2); by default first to last beat."""
    if windows is not None:
        return as_windows(windows, (0.0, 0.0))
    times = beats.times_s if isinstance(beats, Beats) else as_signal(beats, "beats")
    return as_windows(None, (float(times[0]), float(times[-1])) if times.size else (0.0, 0.0))


def _gates(gates: Mapping[str, Sequence[float]] | None) -> dict[str, Gate]:
    """Return the table of gates with the caller's entries put over it."""
    table = dict.fromkeys(("RSA_PorgesBohrer", "RSA_P2T_Mean"), RSA_GATE)
    for column, entry in (gates or {}).items():
        if column not in table:
            raise SignalError(f"gates names {column!r}: only {' and '.join(table)} can be set")
        if len(tuple(entry)) != 2:
            raise SignalError(f"gates[{column!r}]: pass recommended and minimum seconds")
        recommended, minimum = (float(value) for value in entry)
        table[column] = Gate(recommended, minimum, minimum_n=RSA_GATE.minimum_n)
    return table | {"RSA_P2T_SD": table["RSA_P2T_Mean"]}


def _porges_bohrer(
    series: Series,
    bounds: FloatArray,
    hf: tuple[float, float],
    reasons: Reasons,
    limits: Limits,
) -> dict[str, FloatArray]:
    """Return the mean log variance of the epochs of each window, and their number."""
    index, filtered = _filtered(series, hf)
    first = np.ceil(bounds[:, 0] * _RATE_HZ - 1e-6)
    low, high = (np.searchsorted(index, edge * _RATE_HZ - 1e-6) for edge in bounds.T)
    total, count = np.zeros(len(bounds)), np.zeros(len(bounds))
    batch = np.cumsum(high - low) // _CHUNK_SAMPLES
    for rows in np.split(np.arange(batch.size), np.flatnonzero(np.diff(batch)) + 1):
        window, level = _log_variances(index, filtered, first[rows], low[rows], high[rows])
        count[rows] += np.bincount(window, minlength=rows.size)
        total[rows] += np.bincount(window, level, minlength=rows.size)
    mean = np.divide(total, count, out=np.full(count.size, np.nan), where=count > 0)
    apply_limits(reasons, PORGES_COLUMNS[:1], series, limits)
    reasons.withhold("RSA_PorgesBohrer", count == 0, "no 30 s without a gap in the beats")
    reasons.withhold("RSA_PorgesBohrer", np.isnan(mean), "beat intervals do not vary")
    return dict(zip(PORGES_COLUMNS, (mean, count), strict=True))


def _filtered(series: Series, hf: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Return the filtered intervals at 2 Hz, stretch after stretch, each with its time in 0.5 s."""
    at, rr = series.end_s, series.rr_ms
    sos = signal.butter(_FILTER_ORDER, hf, "bandpass", fs=_RATE_HZ, output="sos")
    starts = np.flatnonzero(~series.joined)
    stops = np.append(starts[1:], at.size)[: starts.size]
    long = at[stops - 1] - at[starts] >= _EPOCH_SHARE * _EPOCH_S
    index, filtered = [np.empty(0)], [np.empty(0)]
    for a, b in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        low, high = np.ceil(at[a] * _RATE_HZ - 1e-6), np.floor(at[b - 1] * _RATE_HZ + 1e-6)
        places = np.arange(low, high + 1)
        even = interpolate.CubicSpline(at[a:b], rr[a:b])(places / _RATE_HZ)
        even -= signal.savgol_filter(even, _POLYNOMIAL_POINTS, _POLYNOMIAL_ORDER)
        index.append(places)
        filtered.append(signal.sosfiltfilt(sos, even, padlen=min(even.size - 1, 60)))
    return np.concatenate(index), np.concatenate(filtered)


def _log_variances(
    index: FloatArray, x: FloatArray, first: FloatArray, low: IntArray, high: IntArray
) -> tuple[IntArray, FloatArray]:
    """Return the log variance (n - 1) of each epoch that counts, and the window it belongs to.

    Samples low to high - 1 lie in each window; epochs are counted from its first place.
    """
    size = round(_EPOCH_S * _RATE_HZ)
    window = np.repeat(np.arange(low.size), high - low)
    at = np.arange(window.size) - np.repeat(np.cumsum(high - low) - high, high - low)
    epoch = np.floor((index[at] - first[window]) / size)
    begins = np.flatnonzero(np.diff(window, prepend=-1) | np.diff(epoch, prepend=-1.0).astype(bool))
    if begins.size == 0:
        return window, np.empty(0)
    n = np.diff(begins, append=window.size)
    mean = np.add.reduceat(x[at], begins) / n
    away = x[at] - np.repeat(mean, n)
    variance = np.add.reduceat(away**2, begins) / np.maximum(n - 1, 1)
    counts = n >= _EPOCH_SHARE * size
    level = log(np.where(variance > _NO_VARIANCE, variance, np.nan))
    return window[begins[counts]], level[counts]


def _peak_to_valley(
    swing: FloatArray, inhale: FloatArray, end: FloatArray, bounds: FloatArray, reasons: Reasons
) -> dict[str, FloatArray]:
    """Return mean and SD of peak to valley over the breaths of each window, and counts."""
    first = np.searchsorted(inhale, bounds[:, 0] - 1e-9, side="left")
    stop = np.maximum(np.searchsorted(end, bounds[:, 1] + 1e-9, side="right"), first)
    known = np.isfinite(swing)
    value = np.where(known, swing, 0.0)
    total, n = (_between(part, first, stop) for part in (value, known.astype(np.float64)))
    mean = np.divide(total, n, out=np.full(n.size, np.nan), where=n > 0)
    window = np.repeat(np.arange(n.size), stop - first)
    at = np.arange(window.size) - np.repeat(np.cumsum(stop - first) - stop, stop - first)
    away = np.where(known[at], swing[at] - mean[window], 0.0) ** 2
    squares = np.bincount(window, away, minlength=n.size)
    sd = np.sqrt(np.divide(squares, n - 1, out=np.full(n.size, np.nan), where=n > 1))
    none = "no breath with beat intervals in inspiration and expiration"
    for column in ("RSA_P2T_Mean", "RSA_P2T_SD"):
        reasons.withhold(column, stop == first, "no breath in the window")
        reasons.withhold(column, n == 0, none)
    reasons.withhold("RSA_P2T_SD", n == 1, "1 breath, needs 2")
    return dict(zip(P2T_COLUMNS, (mean, sd, n, (stop - first) - n), strict=True))


def _swings(
    series: Series, inhale: FloatArray, exhale: FloatArray, end: FloatArray, intervals: str
) -> FloatArray:
    """Return peak to valley in ms of each breath; NaN where it cannot be told."""
    begins, ends = series.start_s, series.end_s
    closing = (exhale + _WIDER_S, end + _WIDER_S)
    first_in, first_out = (np.searchsorted(begins, at, side="left") for at in (inhale, exhale))
    if intervals == "inside":
        stop_in, stop_out = (np.searchsorted(ends, at, side="right") for at in closing)
    else:
        stop_in, stop_out = (np.searchsorted(begins, at, side="left") for at in closing)
    # Interval n stands for what comes after the last beat: nothing is known there.
    n = begins.size
    broken = np.concatenate([[0], np.cumsum(np.append(~series.joined, True))])
    last = np.minimum(stop_out, n)
    whole = broken[last + 1] == broken[np.minimum(first_in, last)]
    good = np.flatnonzero((stop_in > first_in) & (stop_out > first_out) & whole)
    swing = np.full(inhale.size, np.nan)
    if good.size == 0:
        return swing
    rr = np.append(series.rr_ms, np.nan)
    shortest = np.minimum.reduceat(rr, np.column_stack([first_in, stop_in])[good].ravel())[::2]
    longest = np.maximum.reduceat(rr, np.column_stack([first_out, stop_out])[good].ravel())[::2]
    swing[good] = np.maximum(longest - shortest, 0.0)
    return swing


def _between(values: FloatArray, first: IntArray, stop: IntArray) -> FloatArray:
    """Return the sum of ``values`` from first to stop - 1."""
    so_far = np.concatenate([[0.0], np.cumsum(values)])
    total: FloatArray = so_far[stop] - so_far[first]
    return total
