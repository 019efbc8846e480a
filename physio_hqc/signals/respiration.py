"""Respiration from a belt, a thermistor or chest impedance: cleaning and breaths."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import signal

from physio_hqc.errors import SignalError
from physio_hqc.signals._breaths import Turns, turns_in
from physio_hqc.signals._checks import as_signal, check_sfreq, finite_runs, repeats, true_runs

__all__ = ["clean_respiration", "detect_breaths"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COLUMNS = ("inhale_s", "exhale_s", "end_s", "amplitude", "valid", "reason")
_POLARITIES = ("auto", "up", "down")

_BAND_HZ = (0.03, 3.0)
_MIN_SFREQ = 2.0
_LARGEST = 1e100
_MIN_RUN_S = 5.0
_FLAT_S = 30.0
_BRIDGE_S = 0.25
_LONGEST_S = 30.0
_PAUSE_S = 10.0
_PAUSE_TIMES_USUAL = 2.5
_USUAL_BREATHS = 15
_JUMP_TIMES_USUAL = 5.0
_NOISE_SDS = 5.0
_CLIPPED_SHARE = 0.12
_STEPS_OF_DEPTH = 50
_SLOPE_S = 0.1
_SLOWER_RISE = 1.1
_TOP_HEAVY = 0.53
_MIN_VOTES = 8


def clean_respiration(resp: ArrayLike, sfreq: float) -> FloatArray:
    """Remove drift and noise from a respiration signal, without moving it in time.

    A second-order band-pass from 0.03 to 3 Hz, forward and backward: what Khodadad et al. (2018)
    use before they look for breaths, with the lower limit at 0.03 instead of 0.05 Hz, so that
    3 breaths a minute keep their size.

    Parameters
    ----------
    resp : array-like, shape (n,)
        Chest movement, air temperature or impedance in any unit; NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 2.

    Returns
    -------
    ndarray, shape (n,)
        In the unit of the input, around 0. Each stretch between missing samples is filtered by
        itself, one under 5 s only centered; missing samples stay NaN.

    Raises
    ------
    SignalError
        If ``resp`` is not one row of numbers or ``sfreq`` is under 2 Hz.

    References
    ----------
    Khodadad D. et al. (2018). Optimized breath detection algorithm in electrical impedance
    tomography. Physiological Measurement 39, 094001. doi:10.1088/1361-6579/aad7e6.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import clean_respiration
    >>> times = np.arange(0, 120, 0.04)
    >>> drifting = np.sin(2 * np.pi * 0.25 * times) + times / 10
    >>> bool(np.abs(clean_respiration(drifting, 25)[500:-500]).max() < 1.1)
    True
    """
    rate = _check_rate(sfreq)
    x = _as_respiration(resp)
    cleaned = np.full(x.size, np.nan)
    band = (_BAND_HZ[0], min(_BAND_HZ[1], 0.45 * rate))
    sos = signal.butter(2, band, "bandpass", fs=rate, output="sos")
    for start, stop in finite_runs(x).tolist():
        run = x[start:stop] - np.median(x[start:stop])
        if run.size >= _MIN_RUN_S * rate:
            run = signal.sosfiltfilt(sos, run, padlen=min(run.size - 1, int(15 * rate)))
        cleaned[start:stop] = run
    return cleaned


def detect_breaths(
    resp: ArrayLike, sfreq: float, *, polarity: str = "auto", depth_min: float = 0.25
) -> pd.DataFrame:
    """Find the breaths of a belt, a thermistor or an impedance signal.

    The turning points of the low-passed signal are thinned out as in the advanced counting method
    of Schäfer and Kratky (2008): the smallest differences between neighboring extremes are
    removed, each with its two extremes, until all that are left reach ``depth_min`` times the
    usual depth. What differs: the usual depth is a running median over a minute and a half, so
    that a sigh, a pause or a change of posture does not decide over the whole recording; no
    high-pass is needed, so that drift moves nothing; the low-pass follows the breathing found in
    a first search; and of several low points nearly alike, inspiration starts at the last, where
    the rest after expiration ends.

    Rates from 3 to 60 breaths a minute are found at sampling rates from 4 to 2000 Hz. Give the
    signal as recorded; cleaning it first is not needed.

    Parameters
    ----------
    resp : array-like, shape (n,)
        Respiration in any unit; NaN where samples are missing.
    sfreq : float
        Sampling rate in Hz, at least 2.
    polarity : {"auto", "up", "down"}
        Whether inspiration makes the signal rise or fall. ``"auto"`` takes it to rise, unless
        most breaths rise more slowly than they fall and rest at the top: at rest, people breathe
        out for longer than in, and pause after breathing out. A table of fewer than 8 breaths,
        or of symmetrical ones, is taken as it is.
    depth_min : float
        Least depth of a breath as a share of the usual depth around it.

    Returns
    -------
    DataFrame
        One row per breath: ``inhale_s`` (start of inspiration), ``exhale_s`` (start of
        expiration), ``end_s`` (end of the breath: where the next one starts, unless a gap
        follows), all sample / sfreq; ``amplitude`` (unit of the signal, from the start of
        inspiration to the start of expiration); ``valid``; ``reason``.

        ``valid`` is False where no times can be relied on: no turn for more than 30 s, a breath
        no larger than the noise, a movement of more than 5 times the usual depth. A valid breath
        has a reason where it contains a pause or a bridged gap, or where its amplitude is NaN
        because the signal reached its limit.

        Breaths never reach across missing samples (more than 0.25 s of them) or across a line
        that stays constant for 30 s. ``attrs["polarity"]`` says which was taken.

    Raises
    ------
    SignalError
        If ``resp`` is not one row of numbers, ``sfreq`` is under 2 Hz, or an argument is unknown.

    References
    ----------
    Schäfer A., Kratky K. W. (2008). Estimation of breathing rate from respiratory sinus
    arrhythmia: comparison of various methods. Annals of Biomedical Engineering 36, 476.
    doi:10.1007/s10439-007-9428-1.
    Noto T. et al. (2018). Automated analysis of breathing waveforms using BreathMetrics. Chemical
    Senses 43, 583. doi:10.1093/chemse/bjy045 (rests between breaths).

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.signals import detect_breaths
    >>> times = np.arange(0, 60, 0.04)
    >>> breaths = detect_breaths(-np.cos(2 * np.pi * 0.25 * times), 25)
    >>> breaths[["inhale_s", "exhale_s", "amplitude"]].round(1).iloc[3].tolist()
    [16.0, 18.0, 2.0]
    """
    rate = _check_rate(sfreq)
    if polarity not in _POLARITIES:
        raise SignalError(f"polarity {polarity!r} is unknown: use one of {', '.join(_POLARITIES)}")
    if not 0 < depth_min < 1:
        raise SignalError(f"depth_min is {depth_min}: pass a share between 0 and 1")
    x, bridged = _bridged(_as_respiration(resp), rate)
    stuck = true_runs(repeats(x), max(2, int(_FLAT_S * rate)))
    known = np.isfinite(x)
    for start, stop in stuck.tolist():
        known[start:stop] = False
    runs = true_runs(known, max(8, int(np.ceil(_MIN_RUN_S * rate))))
    turns = turns_in(x, runs, rate, depth_min)
    clipped = _clipped(x, rate)
    if polarity == "auto":
        polarity = _voted_polarity(turns, clipped, rate)
    breaths = _table(turns, polarity, clipped, bridged, rate)
    breaths.attrs["polarity"] = polarity
    return breaths


def _as_respiration(resp: ArrayLike) -> FloatArray:
    """Return the signal; numbers whose squares overflow are no measurement, but missing."""
    x = as_signal(resp, "resp")
    x[np.abs(x) > _LARGEST] = np.nan
    return x


def _check_rate(sfreq: float) -> float:
    """Return the sampling rate, refusing rates too slow for breathing."""
    rate = check_sfreq(sfreq)
    if rate < _MIN_SFREQ:
        raise SignalError(f"sfreq is {rate:g} Hz: respiration needs at least {_MIN_SFREQ:g} Hz")
    return rate


def _bridged(x: FloatArray, rate: float) -> tuple[FloatArray, IntArray]:
    """Draw a line across the shortest gaps; return the signal and the gaps (r, 2)."""
    missing = true_runs(np.isnan(x))
    short = missing[:, 1] - missing[:, 0] <= _BRIDGE_S * rate
    gaps = missing[short & (missing[:, 0] > 0) & (missing[:, 1] < x.size)]
    if len(gaps):
        length = gaps[:, 1] - gaps[:, 0]
        at = np.repeat(gaps[:, 0], length) + np.arange(length.sum())
        at -= np.repeat(np.cumsum(length) - length, length)
        known = np.flatnonzero(~np.isnan(x))
        x[at] = np.interp(at, known, x[known])
    return x, gaps


def _clipped(x: FloatArray, rate: float) -> IntArray:
    """Return the stretches (r, 2) held at the limit of the sensor or converter.

    They repeat the highest or the lowest value of the recording and the signal runs into it, or
    leaves it, at no less than half the usual slope: a rest after expiration is entered gently.
    """
    known = np.isfinite(x)
    low = float(np.min(x, where=known, initial=np.inf))
    high = float(np.max(x, where=known, initial=-np.inf))
    runs = np.concatenate([true_runs(x == limit, 2) for limit in (low, high)])
    if len(runs) == 0 or not high > low or _is_coarse(x[known], (high - low) / _STEPS_OF_DEPTH):
        return np.empty((0, 2), dtype=np.int64)
    reach = max(1, round(_SLOPE_S * rate))
    usual = float(np.nanmean(np.abs(x[reach::reach] - x[:-reach:reach])))
    before = np.maximum(runs[:, 0] - reach, 0)
    after = np.minimum(runs[:, 1] - 1 + reach, x.size - 1)
    held = x[runs[:, 0]]
    steep = np.fmax(np.abs(x[before] - held), np.abs(x[after] - held)) >= usual / 2
    clipped: IntArray = runs[steep]
    return clipped[np.argsort(clipped[:, 0])]


def _is_coarse(x: FloatArray, limit: float) -> bool:
    """Whether the converter's steps are so large that equal values say nothing."""
    steps = np.abs(np.diff(x))
    return float(steps[steps > 0].min()) > limit


def _share(runs: IntArray, start_s: FloatArray, stop_s: FloatArray, rate: float) -> FloatArray:
    """Return the share of the time from start to stop that the runs (r, 2) of samples take."""
    if len(runs) == 0:
        return np.zeros(start_s.size)
    done = np.cumsum(runs[:, 1] - runs[:, 0])
    so_far = np.column_stack([done - (runs[:, 1] - runs[:, 0]), done]).ravel()
    inside = [np.interp(edge * rate, runs.ravel(), so_far) for edge in (start_s, stop_s)]
    share: FloatArray = (inside[1] - inside[0]) / ((stop_s - start_s) * rate)
    return share


def _cycles(turns: Turns, polarity: str) -> IntArray:
    """Return the turning points at which a whole breath starts."""
    low = turns.up[:-2] == (polarity == "down")
    return np.flatnonzero(low & (turns.stretch[2:] == turns.stretch[:-2]))


def _voted_polarity(turns: Turns, clipped: IntArray, rate: float) -> str:
    """Return "down" if most breaths rise slowly, fall fast and rest at the top, else "up"."""
    at = _cycles(turns, "up")
    time, value = turns.time_s, turns.value
    at = at[_share(clipped, time[at], time[at + 2], rate) < _CLIPPED_SHARE]
    if at.size < _MIN_VOTES:
        return "up"
    rise, fall = time[at + 1] - time[at], time[at + 2] - time[at + 1]
    mean = (turns.level[at] * rise + turns.level[at + 1] * fall) / (rise + fall)
    bottom = (value[at] + value[at + 2]) / 2
    height = (mean - bottom) / np.maximum(value[at + 1] - bottom, np.finfo(np.float64).tiny)
    slow_rise = float(np.median(rise / fall)) > _SLOWER_RISE
    return "down" if slow_rise and float(np.median(height)) > _TOP_HEAVY else "up"


def _table(
    turns: Turns, polarity: str, clipped: IntArray, bridged: IntArray, rate: float
) -> pd.DataFrame:
    """Build the table of breaths and say of each what is to be said."""
    at = _cycles(turns, polarity)
    inhale, exhale, end = turns.time_s[at], turns.time_s[at + 1], turns.time_s[at + 2]
    depth = np.abs(turns.value[at + 1] - turns.value[at])
    swing = np.maximum(depth, np.abs(turns.value[at + 2] - turns.value[at + 1]))
    length = end - inhale
    usual_depth, usual_length = _running_median(depth), _running_median(length)
    noise = _NOISE_SDS * turns.noise[at]
    too_long = length > _LONGEST_S
    noisy = (usual_depth < noise) | (depth < noise / 2)
    moved = swing > _JUMP_TIMES_USUAL * usual_depth
    held = _share(clipped, inhale, end, rate) >= _CLIPPED_SHARE
    lost = _share(bridged, inhale, end, rate) * length
    pause = (length > _PAUSE_S) & (length > _PAUSE_TIMES_USUAL * usual_length)
    reason = np.full(at.size, "", dtype=object)
    for where, texts in (
        (lost > 0, [f"{seconds:.2g} s missing, bridged" for seconds in lost]),
        (pause, [f"pause: breath of {seconds:.0f} s" for seconds in length]),
        (held, ["signal at its limit: size unknown"] * at.size),
        (noisy, ["no larger than the noise"] * at.size),
        (moved, [f"movement: {ratio:.0f} times the usual size" for ratio in swing / usual_depth]),
        (too_long, [f"no breath for {seconds:.0f} s" for seconds in length]),
    ):
        reason[where] = np.array(texts, dtype=object)[where]
    columns = (
        inhale,
        exhale,
        end,
        np.where(held, np.nan, depth * _lost_to_smoothing(turns.blur_s[at], length)),
        ~(too_long | noisy | moved),
        reason,
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _lost_to_smoothing(blur_s: FloatArray, length: FloatArray) -> FloatArray:
    """Return how many times larger a wave of that length was before a Gaussian smoothed it."""
    factor: FloatArray = np.exp((2 * np.pi * blur_s / length) ** 2 / 2)
    return factor


def _running_median(x: FloatArray) -> FloatArray:
    """Return the median of the 15 values around each."""
    running = pd.Series(x).rolling(_USUAL_BREATHS, center=True, min_periods=1)
    median: FloatArray = running.median().to_numpy(dtype=np.float64)
    return median
