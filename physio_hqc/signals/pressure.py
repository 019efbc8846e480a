"""Continuous arterial pressure: beats with systole, foot, diastole and mean, and quality."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import find_peaks, savgol_filter

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import (
    as_signal,
    as_times,
    as_window_array,
    check_sfreq,
    finite_runs,
    true_runs,
)

__all__ = ["detect_pressure_beats", "pressure_quality"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_MIN_RUN_S = 1.0
_SLOPE_WINDOW_S = 0.128
_RISE_MIN_MMHG = 4.0
_BEAT_SHARE = 0.4
_DISTANCE_S = 0.27
_FOOT_REACH_S = 0.3
_PEAK_REACH_S = 0.4
_FLAT_S = 0.6
_INTERVAL_S = (0.3, 2.5)
_STEEPEST_MMHG_S = 4000.0
_STEEPEST_FALL_MMHG_S = 2000.0
_NEIGHBORS = 11
_BEAT_COLUMNS = ("foot_s", "systole_s", "SBP", "DBP", "MAP", "PP", "valid", "reason")

_NO_END = "flag: no MAP, the beat is cut off by a gap or the end"


def detect_pressure_beats(
    pressure: ArrayLike,
    sfreq: float,
    *,
    sbp_limits: tuple[float, float] = (60.0, 260.0),
    dbp_limits: tuple[float, float] = (30.0, 160.0),
    pp_min: float = 15.0,
) -> pd.DataFrame:
    """Find the beats of continuous arterial pressure and measure each of them.

    Upstrokes are found with the slope sum function of Zong et al. (2003): the sum of the rises
    within 128 ms, compared with a threshold that follows the local height of the pulses, so
    that dicrotic waves stay under it. SBP is the maximum after the upstroke, DBP the minimum
    (foot) before it, both on a signal smoothed by a cubic over 50 ms, with a parabola through
    the highest samples. The foot time is where the tangent of the steepest rise meets the
    diastolic level. MAP is the area from foot to foot over its duration, PP is SBP - DBP.

    Beats that are no blood pressure stay in the table, marked ``valid = False`` with a reason:
    outside plausible limits, held at the limit of the converter (flush, clipping), on or beside
    a line that does not move (zeroing, calibration pause, open line), rising or falling faster
    than pressure can (flush, disconnection), leaping away from the beats around, or damped
    (pulse pressure down to half at an unchanged mean). The limits on single beats follow the
    idea of Sun et al. (2006). Missing samples (NaN) end a stretch; each stretch of a second and
    more is searched alone.

    Parameters
    ----------
    pressure : array-like, shape (n,)
        Arterial pressure in mmHg; NaN where missing.
    sfreq : float
        Sampling rate in Hz, best 60 to 1000.
    sbp_limits, dbp_limits : tuple of float
        Smallest and largest plausible SBP and DBP in mmHg.
    pp_min : float
        Smallest plausible pulse pressure in mmHg.

    Returns
    -------
    DataFrame
        One row per beat: ``foot_s``, ``systole_s`` (sample / sfreq), ``SBP``, ``DBP``, ``MAP``,
        ``PP`` (mmHg), ``valid`` (bool), ``reason`` (why not valid; or, on a valid beat, that it
        has no end before a gap and therefore NaN as MAP).

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Zong W, Heldt T, Moody GB, Mark RG (2003). An open-source algorithm to detect onset of
    arterial blood pressure pulses. Comput Cardiol 30:259-262. doi:10.1109/CIC.2003.1291140
    Sun JX, Reisner AT, Mark RG (2006). A signal abnormality index for arterial blood pressure
    waveforms. Comput Cardiol 33:13-16.

    Examples
    --------
    >>> import numpy as np
    >>> phase = np.arange(0, 10, 0.01) % 1.0
    >>> beats = detect_pressure_beats(80 + 40 * np.exp(-(((phase - 0.3) / 0.1) ** 2)), 100)
    >>> len(beats), beats["SBP"].round().unique().tolist(), beats["DBP"].round().unique().tolist()
    (10, [120.0], [80.0])
    """
    signal = _measured(pressure)
    rate = check_sfreq(sfreq)
    _check_limits(sbp_limits, "sbp_limits")
    _check_limits(dbp_limits, "dbp_limits")
    runs = finite_runs(signal, max(int(np.ceil(_MIN_RUN_S * rate)), 8))
    flat = _flat_stretches(signal, rate)
    low, high = _converter_limits(signal)
    tables = [_beats_of_run(signal, flat, low, high, rate, *run) for run in runs.tolist()]
    if not tables:
        return _empty_beats()
    beats = pd.concat(tables, ignore_index=True)
    return _judge(beats, sbp_limits, dbp_limits, pp_min)


def pressure_quality(
    pressure: ArrayLike,
    sfreq: float,
    windows: ArrayLike | None = None,
    *,
    beats: pd.DataFrame | None = None,
    times_s: ArrayLike | None = None,
) -> pd.DataFrame:
    """Tell per window how much of it is covered by valid pressure beats, and why not the rest.

    Parameters
    ----------
    pressure : array-like, shape (n,)
        Arterial pressure in mmHg; NaN where missing.
    sfreq : float
        Sampling rate in Hz.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default the whole signal.
    beats : DataFrame, optional
        Beats as `detect_pressure_beats` returns them, with times on the clock of ``windows``;
        default: detected here.
    times_s : array-like, shape (n,), optional
        Time of each sample in s, default sample / sfreq.

    Returns
    -------
    DataFrame
        One row per window: ``usable_share`` (share of the window's time inside valid beats,
        foot to foot), ``quality`` (0 to 1, the smaller of that share and the share of beats
        that are valid), ``n_beats`` (valid beats) and ``reason``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> phase = np.arange(0, 20, 0.01) % 1.0
    >>> signal = 80 + 40 * np.exp(-(((phase - 0.3) / 0.1) ** 2))
    >>> signal[1000:] = 0.0
    >>> pressure_quality(signal, 100, [[1, 9], [12, 20]])[["n_beats", "reason"]].values.tolist()
    [[8, ''], [0, 'no beats: 100 % flat line']]
    """
    signal = _measured(pressure)
    rate = check_sfreq(sfreq)
    times = as_times(times_s, signal.size, rate)
    span = (times[0], times[-1] + 1 / rate) if times.size else (0.0, 0.0)
    bounds = as_window_array(windows, span)
    table = _on_clock(detect_pressure_beats(signal, rate), times, rate) if beats is None else beats
    _check_beats(table)
    start, stop, valid = _beat_spans(table)
    stop = np.maximum(np.minimum(stop, _next_missing(signal, times, rate, start)), start)
    length = bounds[:, 1] - bounds[:, 0]
    covered = _covered_time(start[valid], stop[valid], bounds)
    usable = np.clip(np.divide(covered, length, out=np.zeros(length.size), where=length > 0), 0, 1)
    systole = table["systole_s"].to_numpy(dtype=np.float64)
    n_all = _count_in(systole, bounds)
    n_valid = _count_in(systole[valid], bounds)
    share = np.divide(n_valid, n_all, out=np.zeros(length.size), where=n_all > 0)
    quality = np.minimum(usable, share)
    return pd.DataFrame(
        {
            "quality": quality,
            "usable_share": usable,
            "n_beats": n_valid,
            "reason": _window_reasons(signal, rate, times, bounds, table, n_all, usable),
        }
    )


def _measured(pressure: ArrayLike) -> FloatArray:
    """Return the signal with fill values (beyond a million, as no sensor gives) as missing."""
    signal = as_signal(pressure, "pressure")
    signal[np.abs(signal) > 1e6] = np.nan
    return signal


def _check_limits(limits: tuple[float, float], name: str) -> None:
    """Raise `SignalError` unless ``limits`` are two ascending numbers."""
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise SignalError(f"{name} is {limits!r}: use (smallest, largest) in mmHg")


def _check_beats(beats: pd.DataFrame) -> None:
    """Raise `SignalError` unless ``beats`` has the columns of `detect_pressure_beats`."""
    missing = [name for name in _BEAT_COLUMNS if name not in beats.columns]
    if missing:
        raise SignalError(
            f"beats lacks the columns {missing}: pass what detect_pressure_beats returns"
        )


def _empty_beats() -> pd.DataFrame:
    """Return a table of pressure beats without rows."""
    table = pd.DataFrame({name: np.empty(0) for name in _BEAT_COLUMNS})
    return table.astype({"valid": bool, "reason": object})


def _flat_stretches(x: FloatArray, rate: float) -> BoolArray:
    """Mark where the signal does not move at all for longer than any diastole does."""
    flat = np.zeros(x.size, dtype=bool)
    if x.size < 2:
        return flat
    still = np.append(np.diff(x) == 0, False)
    for start, stop in true_runs(still, max(int(_FLAT_S * rate), 3)):
        flat[start : stop + 1] = True
    return flat


def _converter_limits(x: FloatArray) -> tuple[float, float]:
    """Return the lowest and highest value where samples pile up there, else -inf and inf."""
    finite = x[np.isfinite(x)]
    values, counts = np.unique(finite, return_counts=True)
    if values.size < 6:
        return -np.inf, np.inf
    # A limit holds many more samples than the values beside it; a smooth peak does not.
    low = values[0] if counts[0] >= max(5 * counts[1:3].mean(), 6) else -np.inf
    high = values[-1] if counts[-1] >= max(5 * counts[-3:-1].mean(), 6) else np.inf
    return float(low), float(high)


def _beats_of_run(
    x: FloatArray, flat: BoolArray, low: float, high: float, rate: float, start: int, stop: int
) -> pd.DataFrame:
    """Find and measure the beats of one stretch without missing samples."""
    raw = x[start:stop]
    smooth = _smoothed(raw, rate)
    slope = np.gradient(smooth) * rate
    steepest = _upstrokes(smooth, slope, rate)
    if steepest.size == 0:
        return pd.DataFrame()
    peak = _systoles(smooth, steepest, rate)
    foot = _feet(smooth, steepest, peak, rate)
    systole, sbp = _parabola(smooth, peak)
    dbp = smooth[foot]
    # Tangent of the steepest rise down to the diastolic level.
    back = (smooth[steepest] - dbp) * rate / np.maximum(slope[steepest], 1e-9)
    onset = np.maximum(steepest - back, foot)
    table = pd.DataFrame(
        {
            "foot_s": (start + onset) / rate,
            "systole_s": (start + systole) / rate,
            "SBP": sbp,
            "DBP": dbp,
            "MAP": _area_mean(smooth, onset),
            "PP": sbp - dbp,
        }
    )
    table["_begins"] = foot == 0
    table["_ends"] = peak >= raw.size - 1
    table["_held"] = _held_at(raw == high, peak, rate) | _held_at(raw == low, foot, rate)
    end = np.append(foot[1:], raw.size - 1)
    table["_flat"] = _any_between(flat[start:stop], foot, end)
    table["_rise"] = slope[steepest]
    table["_fall"] = -_extreme_between(-slope, peak, np.minimum(end, peak + int(2.5 * rate)))
    table["_interval"] = np.append(np.diff(onset), np.nan) / rate
    return table


def _smoothed(x: FloatArray, rate: float) -> FloatArray:
    """Smooth by a cubic over about 50 ms, which keeps height and place of the peaks."""
    width = 2 * int(0.025 * rate) + 1
    if width < 5:
        return x.copy()
    smooth: FloatArray = savgol_filter(x, width, 3, mode="interp")
    return smooth


def _upstrokes(smooth: FloatArray, slope: FloatArray, rate: float) -> IntArray:
    """Return the sample of the steepest rise of each beat."""
    rises = np.concatenate(([0.0], np.cumsum(np.maximum(np.diff(smooth), 0))))
    width = max(round(_SLOPE_WINDOW_S * rate), 2)
    before = np.maximum(np.arange(smooth.size) - width, 0)
    total = rises - rises[before]
    # Flushes must not raise the threshold for the beats beside them.
    total = np.minimum(total, 150.0)
    distance = max(int(_DISTANCE_S * rate), 1)
    threshold = np.maximum(_BEAT_SHARE * _local_height(total, rate), _RISE_MIN_MMHG)
    peaks, _ = find_peaks(np.append(total, 0.0), height=_RISE_MIN_MMHG, distance=distance)
    peaks = peaks[total[peaks] >= threshold[peaks]]
    if peaks.size == 0:
        return np.empty(0, dtype=np.int64)
    offset = _first_best(slope, np.maximum(peaks - width, 0), peaks)
    steepest: IntArray = np.unique(np.maximum(peaks - width, 0) + offset)
    return steepest


def _local_height(total: FloatArray, rate: float) -> FloatArray:
    """Return the local height of the pulses: median over 13 s of the maxima over 2 s."""
    step = max(round(rate), 1)
    maxima = maximum_filter1d(total, 2 * step + 1)[::step]
    half = 6
    padded = np.pad(maxima, half, constant_values=np.nan)
    # Stretches without pulses tell nothing about the pulses beside them.
    padded[~(padded >= 2 * _RISE_MIN_MMHG)] = np.nan
    view = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    ordered = np.sort(view, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    middle = np.maximum((count - 1) // 2, 0)
    median = np.where(count > 0, ordered[np.arange(len(view)), middle], 0.0)
    heights: FloatArray = np.interp(np.arange(total.size), np.arange(median.size) * step, median)
    return heights


def _systoles(smooth: FloatArray, steepest: IntArray, rate: float) -> IntArray:
    """Return the sample of the maximum after each upstroke and before the next."""
    following = np.append(steepest[1:], smooth.size - 1)
    stop = np.minimum(steepest + int(_PEAK_REACH_S * rate), following)
    peak: IntArray = steepest + _first_best(smooth, steepest, stop)
    return peak


def _feet(smooth: FloatArray, steepest: IntArray, peak: IntArray, rate: float) -> IntArray:
    """Return the sample of the last minimum before each upstroke and after the systole before."""
    earliest = np.maximum(steepest - int(_FOOT_REACH_S * rate), np.append(0, peak[:-1]))
    backwards = steepest[::-1]
    flipped = smooth.size - 1 - backwards
    offset = _first_best(-smooth[::-1], flipped, smooth.size - 1 - earliest[::-1])
    foot: IntArray = steepest - offset[::-1]
    return foot


def _first_best(values: FloatArray, start: IntArray, stop: IntArray) -> IntArray:
    """Return per row the offset from ``start`` of the largest value in [start, stop]."""
    columns = start[:, None] + np.arange(int((stop - start).max()) + 1)
    inside = columns <= stop[:, None]
    taken = np.where(inside, values[np.minimum(columns, values.size - 1)], -np.inf)
    offsets: IntArray = taken.argmax(axis=1)
    return offsets


def _parabola(smooth: FloatArray, peak: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return place and height of the parabola through each maximum and its neighbors."""
    at = np.clip(peak, 1, max(smooth.size - 2, 1))
    left, middle, right = smooth[at - 1], smooth[at], smooth[at + 1]
    bend = left - 2 * middle + right
    usable = (at == peak) & (bend < 0) & (middle >= left) & (middle >= right)
    shift = np.where(usable, 0.5 * (left - right) / np.where(usable, bend, 1.0), 0.0)
    return peak.astype(np.float64) + shift, smooth[peak] - np.where(
        usable, 0.25 * (left - right) * shift, 0.0
    )


def _area_mean(smooth: FloatArray, onset: FloatArray) -> FloatArray:
    """Return the mean from each onset to the next by area; NaN for the last."""
    middles = (smooth[1:] + smooth[:-1]) / 2
    area = np.concatenate(([0.0], np.cumsum(middles)))
    whole = np.minimum(onset.astype(np.int64), smooth.size - 2)
    part = onset - whole
    value = smooth[whole]
    rise = smooth[whole + 1] - value
    upto = area[whole] + part * (value + rise * part / 2)
    return np.append(np.diff(upto) / np.diff(onset), np.nan)


def _held_at(limit: BoolArray, at: IntArray, rate: float) -> BoolArray:
    """Tell where the signal stays at its limit for 3 samples and 25 ms within 50 ms of ``at``."""
    need = max(3, int(np.ceil(0.025 * rate)))
    long = np.zeros(limit.size, dtype=bool)
    for start, stop in true_runs(limit, need):
        long[start:stop] = True
    margin = int(0.05 * rate) + 1
    return _any_between(long, np.maximum(at - margin, 0), np.minimum(at + margin, long.size - 1))


def _any_between(mask: BoolArray, start: IntArray, stop: IntArray) -> BoolArray:
    """Tell per row whether ``mask`` holds anywhere in [start, stop]."""
    total = np.concatenate(([0], np.cumsum(mask)))
    return np.asarray(total[stop + 1] > total[start])


def _extreme_between(values: FloatArray, start: IntArray, stop: IntArray) -> FloatArray:
    """Return per row the largest of ``values`` in [start, stop]."""
    bounds = np.column_stack((start, np.maximum(stop, start + 1))).ravel()
    largest: FloatArray = np.maximum.reduceat(np.append(values, -np.inf), bounds)[::2]
    return largest


def _judge(
    beats: pd.DataFrame,
    sbp_limits: tuple[float, float],
    dbp_limits: tuple[float, float],
    pp_min: float,
) -> pd.DataFrame:
    """Decide which beats are valid and say why the others are not."""
    if beats.empty:
        return _empty_beats()
    sbp, dbp, pp = (beats[name].to_numpy() for name in ("SBP", "DBP", "PP"))
    interval = beats["_interval"].to_numpy()
    with np.errstate(invalid="ignore"):
        faults: dict[str, BoolArray] = {
            "held at the limit of the converter (flush or clipping)": beats["_held"].to_numpy(),
            "flat line (zeroing, calibration pause or open line)": beats["_flat"].to_numpy(),
            f"SBP outside {sbp_limits[0]:g}-{sbp_limits[1]:g} mmHg": ~_within(sbp, sbp_limits),
            f"DBP outside {dbp_limits[0]:g}-{dbp_limits[1]:g} mmHg": ~_within(dbp, dbp_limits),
            f"pulse pressure under {pp_min:g} mmHg": pp < pp_min,
            "changes faster than pressure can (flush or disconnection)": (
                (beats["_rise"].to_numpy() > _STEEPEST_MMHG_S)
                | (-beats["_fall"].to_numpy() > _STEEPEST_FALL_MMHG_S)
            ),
            "interval to the next beat is not that of a heart": ~(
                np.isnan(interval) | _within(interval, _INTERVAL_S)
            ),
        }
    bad = np.logical_or.reduce(list(faults.values()))
    faults["leaps from the beats around"] = _leaps(sbp, dbp, bad)
    faults["damped"] = _damped(sbp, dbp, bad)
    faults["starts before the signal does"] = _cut_off_start(beats, pp)
    faults = {"ends after the signal does": beats["_ends"].to_numpy(), **faults}
    reason = np.full(len(beats), "", dtype=object)
    for text, mask in reversed(faults.items()):
        reason[mask] = text
    valid = reason == ""
    reason[valid & np.isnan(beats["MAP"].to_numpy())] = _NO_END
    return beats.assign(valid=valid, reason=reason)[list(_BEAT_COLUMNS)]


def _within(values: FloatArray, limits: tuple[float, float]) -> BoolArray:
    """Tell which values lie within limits, both included."""
    return np.asarray((values >= limits[0]) & (values <= limits[1]))


def _median_around(values: FloatArray, use: BoolArray, count: int = _NEIGHBORS) -> FloatArray:
    """Return at each beat the median over ``count`` usable beats around it; NaN if none."""
    at = np.flatnonzero(use)
    if at.size == 0:
        return np.full(values.size, np.nan)
    width = min(count, at.size)
    view = np.lib.stride_tricks.sliding_window_view(values[at], width)
    medians = np.median(view, axis=1)
    nearest = np.searchsorted(at, np.arange(values.size)) - width // 2
    out: FloatArray = medians[np.clip(nearest, 0, medians.size - 1)]
    return out


def _leaps(sbp: FloatArray, dbp: FloatArray, bad: BoolArray) -> BoolArray:
    """Tell which beats lie too far from the beats around to be the same patient's."""
    far = np.zeros(sbp.size, dtype=bool)
    for values, least in ((sbp, 45.0), (dbp, 30.0)):
        away = np.abs(values - _median_around(values, ~bad))
        usual = _median_around(away, ~bad, 51)
        with np.errstate(invalid="ignore"):
            far |= away > np.maximum(least, 6 * usual)
    return far


def _damped(sbp: FloatArray, dbp: FloatArray, bad: BoolArray) -> BoolArray:
    """Tell where pulse pressure is half the record's for many beats while the mean stays."""
    if (~bad).sum() < 3 * _NEIGHBORS:
        return np.zeros(sbp.size, dtype=bool)
    pulse = _median_around(sbp - dbp, ~bad)
    middle = _median_around(dbp + (sbp - dbp) / 3, ~bad)
    usual = np.nanpercentile(pulse, 75)
    level = np.nanmedian(middle[pulse >= 0.8 * usual])
    with np.errstate(invalid="ignore"):
        return np.asarray((pulse < 0.5 * usual) & (np.abs(middle - level) < 15))


def _cut_off_start(beats: pd.DataFrame, pp: FloatArray) -> BoolArray:
    """Tell which beats had begun before their stretch, so that the foot is not in it."""
    usual = np.median(pp)
    return np.asarray(beats["_begins"].to_numpy() & (pp < 0.8 * usual))


def _on_clock(beats: pd.DataFrame, times: FloatArray, rate: float) -> pd.DataFrame:
    """Move beat times from sample / sfreq to the clock of ``times``."""
    if times.size == 0:
        return beats
    index = np.arange(times.size) / rate
    moved = {name: np.interp(beats[name], index, times) for name in ("foot_s", "systole_s")}
    return beats.assign(**moved)


def _beat_spans(beats: pd.DataFrame) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return start, stop and validity of each beat; a beat without end takes the usual length."""
    start = beats["foot_s"].to_numpy(dtype=np.float64)
    valid = beats["valid"].to_numpy(dtype=bool)
    length = np.append(np.diff(start), np.nan)
    whole = np.isfinite(beats["MAP"].to_numpy(dtype=np.float64)) & (length <= _INTERVAL_S[1])
    usual = np.median(length[whole]) if whole.any() else 0.0
    length[~whole] = np.minimum(np.nan_to_num(length[~whole], nan=usual), usual)
    return start, start + length, valid


def _next_missing(x: FloatArray, times: FloatArray, rate: float, start: FloatArray) -> FloatArray:
    """Return when the first missing sample after each start comes, or the end of the signal."""
    end = times[-1] + 1 / rate if times.size else 0.0
    missing = np.append(times[np.isnan(x)], end)
    found: FloatArray = missing[np.minimum(np.searchsorted(missing, start), missing.size - 1)]
    return found


def _covered_time(start: FloatArray, stop: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return how much of each window lies inside ascending, separate stretches."""
    if start.size == 0:
        return np.zeros(len(bounds))
    knots = np.column_stack((start, stop)).ravel()
    total = np.cumsum(np.column_stack((np.zeros(start.size), stop - start)).ravel())
    upto = np.interp(bounds, knots, total)
    covered: FloatArray = upto[:, 1] - upto[:, 0]
    return covered


def _count_in(times: FloatArray, bounds: FloatArray) -> IntArray:
    """Return how many of ascending ``times`` lie in each half-open window."""
    edges = np.searchsorted(times, bounds, side="left")
    counts: IntArray = (edges[:, 1] - edges[:, 0]).astype(np.int64)
    return counts


def _window_reasons(
    x: FloatArray,
    rate: float,
    times: FloatArray,
    bounds: FloatArray,
    beats: pd.DataFrame,
    n_all: IntArray,
    usable: FloatArray,
) -> list[str]:
    """Return one text per window: what its signal and its beats lack."""
    edges = np.searchsorted(times, bounds, side="left")
    expected = np.maximum(np.round(np.diff(bounds, axis=1)[:, 0] * rate), 1)
    flat = _flat_stretches(x, rate)
    shares = {
        "missing": 1 - np.clip(_counted(np.isfinite(x), edges) / expected, 0, 1),
        "flat line": _counted(flat, edges) / expected,
    }
    systole = beats["systole_s"].to_numpy(dtype=np.float64)
    invalid = ~beats["valid"].to_numpy(dtype=bool)
    causes, code = np.unique(beats["reason"].to_numpy(dtype=str)[invalid], return_inverse=True)
    counts = np.column_stack(
        [_count_in(systole[invalid][code == k], bounds) for k in range(causes.size)]
        or [np.zeros(len(bounds), dtype=np.int64)]
    )
    return [
        _reason_text(
            {name: float(share[row]) for name, share in shares.items()},
            dict(zip(causes.tolist(), counts[row].tolist(), strict=False)),
            int(n_all[row]),
            float(usable[row]),
        )
        for row in range(len(bounds))
    ]


def _counted(mask: BoolArray, edges: IntArray) -> FloatArray:
    """Return how many marked samples lie between each pair of edges."""
    total = np.concatenate(([0], np.cumsum(mask)))
    counts: FloatArray = (total[edges[:, 1]] - total[edges[:, 0]]).astype(np.float64)
    return counts


def _reason_text(
    shares: dict[str, float], causes: dict[str, int], n_all: int, usable: float
) -> str:
    """Put into words why one window is not fully usable; empty when it is."""
    found = {name: count for name, count in causes.items() if count}
    parts = [f"{100 * shares[k]:.0f} % {k}" for k in ("missing", "flat line") if shares[k] >= 0.005]
    if n_all == 0:
        return "no beats: " + (", ".join(parts) or "no pressure pulse")
    if found:
        ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{name} ({count})" for name, count in ordered)
        parts.append(f"{sum(found.values())} of {n_all} beats not valid: {listed}")
    if not parts and usable < 0.9:
        parts.append(f"{100 * (1 - usable):.0f} % without a pressure pulse")
    return "; ".join(parts)
