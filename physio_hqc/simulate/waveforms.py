"""Waveforms from known events: arrays in, arrays out, at any rate, in any pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError

FloatArray = NDArray[np.float64]

# Time from the foot of the pressure pulse to its systolic peak, s.
RISE_S = 0.13

# QRS: height relative to R, time after R in s, width (standard deviation) in s. Widths are in
# seconds, not parts of the cycle: conduction does not speed up with the heart.
_QRS = ((-0.12, -0.028, 0.008), (1.0, 0.0, 0.0105), (-0.22, 0.031, 0.009))
_P_WAVE = (0.12, -0.165, 0.025)
# The T wave moves with the square root of the interval, as the QT interval about does.
_T_WAVE = ((0.10, 0.26, 0.050), (0.22, 0.32, 0.038))

_RUN_OFF_S = 0.42
_ROUNDING_S = 0.07
_NOTCH = (-0.09, 0.17, 0.022)
_DICROTIC = (0.05, 0.25, 0.045)

# How far beside the record the beats stand that are added to it.
_BESIDE_S = 0.25

# Time constants of a skin conductance response, s: decay and rise.
SCR_DECAY_S, SCR_RISE_S = 2.0, 0.7
# The biexponential peaks where its derivative vanishes.
SCR_TIME_TO_PEAK_S = float(
    np.log(SCR_DECAY_S / SCR_RISE_S) / (1.0 / SCR_RISE_S - 1.0 / SCR_DECAY_S)
)
_SCR_NORM = 1.0 / (
    np.exp(-SCR_TIME_TO_PEAK_S / SCR_DECAY_S) - np.exp(-SCR_TIME_TO_PEAK_S / SCR_RISE_S)
)


def _ascending(values: ArrayLike, name: str) -> FloatArray:
    """Return event times as a checked float array."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all() or (np.diff(array) <= 0).any():
        raise SignalError(f"{name} must be a 1-D array of finite, ascending times in s.")
    return array


def _same_length(values: ArrayLike, n: int, name: str) -> FloatArray:
    """Return one value per event as a checked float array."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,) or not np.isfinite(array).all():
        raise SignalError(f"{name} must hold {n} finite values, one per event.")
    return array


def _gaussian(u: FloatArray, wave: tuple[float, float, float]) -> FloatArray:
    """Return height * exp(-(u - center)^2 / (2 width^2))."""
    height, center, width = wave
    scaled: FloatArray = (u - center) * (1.0 / (np.sqrt(2.0) * width))
    np.multiply(scaled, scaled, out=scaled)
    np.negative(scaled, out=scaled)
    np.exp(scaled, out=scaled)
    scaled *= height
    return scaled


def ecg_waveform(
    times_s: ArrayLike, beat_times_s: ArrayLike, r_amplitude: ArrayLike = 1.0
) -> FloatArray:
    """Render an ECG whose R peaks lie exactly at the given times.

    P, Q, R, S and T are Gaussians in time around each R peak, T displaced and widened with the
    square root of the interval. Beats beside the record on either side give it the T wave and
    the P wave that belong to them.

    Parameters
    ----------
    times_s : array-like, shape (n,)
        Sample times, s, in any order.
    beat_times_s : array-like, shape (k,)
        R peaks, s, ascending.
    r_amplitude : float or array-like, shape (k,)
        Height of the R peaks, mV; negative for an inverted lead.

    Returns
    -------
    ndarray, shape (n,)
        mV.

    Raises
    ------
    SignalError
        If the beat times are not ascending, or the amplitudes do not fit them.

    References
    ----------
    McSharry et al. (2003), doi 10.1109/TBME.2003.808805: the sum of Gaussians. Here they are
    functions of time rather than of the phase of a dynamical system.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(0, 3, 0.001)
    >>> ecg = ecg_waveform(t, [0.5, 1.3, 2.1])
    >>> round(float(t[np.argmax(ecg[1000:1600]) + 1000]), 3)
    1.3
    """
    times = np.asarray(times_s, dtype=np.float64)
    beats = _ascending(beat_times_s, "beat_times_s")
    heights = _same_length(r_amplitude, len(beats), "r_amplitude")
    if not len(beats):
        return np.zeros_like(times)
    beats = _with_virtual(beats, 2)
    if times.size:
        # Beside the record, never in it: a beat that nobody asked for would be no truth.
        beats[1] = min(beats[1], times.min() - _BESIDE_S)
        beats[-2] = max(beats[-2], times.max() + _BESIDE_S)
        beats[0], beats[-1] = beats[1] - 1.0, beats[-2] + 1.0
    heights = np.concatenate([heights[[0, 0]], heights, heights[[-1, -1]]])
    current = np.clip(np.searchsorted(beats, times, side="right") - 1, 0, len(beats) - 2)
    since = times - beats[current]
    until = times - beats[current + 1]
    before, after = heights[current], heights[current + 1]
    second_half = since > -until
    nearest = np.where(second_half, until, since)
    signal = _gaussian(nearest, _QRS[0])
    for wave in _QRS[1:]:
        signal += _gaussian(nearest, wave)
    signal *= np.where(second_half, after, before)
    stretch = (1.0 / np.sqrt(np.diff(beats)))[current]
    repolarization = _gaussian(since * stretch, _T_WAVE[0])
    repolarization += _gaussian(since * stretch, _T_WAVE[1])
    signal += repolarization * before
    signal += _gaussian(until, _P_WAVE) * after
    return signal


def _with_virtual(times: FloatArray, n: int) -> FloatArray:
    """Add n events at the first interval before and at the last interval after the series."""
    first = times[1] - times[0] if len(times) > 1 else 0.85
    last = times[-1] - times[-2] if len(times) > 1 else 0.85
    steps = np.arange(1, n + 1)
    return np.concatenate([times[0] - first * steps[::-1], times, times[-1] + last * steps])


def _pulses(
    foot_s: ArrayLike, systole_s: ArrayLike, sbp: ArrayLike, dbp: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Check the pulses and add one before the first and two after the last."""
    foot = _ascending(foot_s, "foot_s")
    systole = _same_length(systole_s, len(foot), "systole_s")
    high = _same_length(sbp, len(foot), "sbp")
    low = _same_length(dbp, len(foot), "dbp")
    if (systole <= foot).any() or (systole[:-1] >= foot[1:]).any():
        raise SignalError("systole_s must lie between each foot and the next one.")
    if not len(foot):
        return foot, systole, high, low
    edges = [0, *range(len(foot)), len(foot) - 1, len(foot) - 1]
    wide = _with_virtual(foot, 2)[1:]
    rise = np.minimum((systole - foot)[edges], 0.45 * np.concatenate([np.diff(wide), [np.inf]]))
    rise[1:-2] = systole - foot
    return wide, wide + rise, high[edges], low[edges]


def pressure_waveform(
    times_s: ArrayLike, foot_s: ArrayLike, systole_s: ArrayLike, sbp: ArrayLike, dbp: ArrayLike
) -> FloatArray:
    """Render arterial pressure through known feet and systolic peaks.

    From each foot the pressure climbs to the systolic peak, falls through a dicrotic notch and
    wave, and runs off exponentially to the next foot. It takes the value `dbp` at every foot and
    `sbp` at every peak, and passes neither limit in between.

    Parameters
    ----------
    times_s : array-like, shape (n,)
        Sample times, s.
    foot_s, systole_s : array-like, shape (k,)
        Times of the foot and of the peak of each pulse, s, ascending and alternating.
    sbp, dbp : array-like, shape (k,)
        Pressure at the peaks and at the feet, mmHg.

    Returns
    -------
    ndarray, shape (n,)
        mmHg; NaN without a single pulse.

    Raises
    ------
    SignalError
        If times or values do not fit together.

    References
    ----------
    Windkessel run-off: Westerhof, Lankhaar & Westerhof (2009), doi 10.1007/s11517-008-0359-2.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(0.5, 2.5, 0.001)
    >>> p = pressure_waveform(t, [0.2, 1.0, 1.8], [0.33, 1.13, 1.93], 120.0, 80.0)
    >>> float(p.max().round(2)), float(p.min().round(2))
    (120.0, 80.0)
    """
    times = np.asarray(times_s, dtype=np.float64)
    foot, systole, high, low = _pulses(foot_s, systole_s, sbp, dbp)
    if not len(foot):
        return np.full_like(times, np.nan)
    pulse = np.clip(np.searchsorted(foot, times, side="right") - 1, 0, len(foot) - 2)
    risen = (times - foot[pulse]) * (1.0 / (systole - foot))[pulse]
    up = low[pulse] + (high - low)[pulse] * _upstroke(np.clip(risen, 0.0, 1.0))
    length = foot[1:] - systole[:-1]
    fallen = np.clip(times - systole[pulse], 0.0, length[pulse])
    bottom = low[1:][pulse]
    down = bottom + (high[pulse] - bottom) * _run_off(fallen, length[pulse])
    return np.where(risen < 1.0, up, down)


def _upstroke(x: FloatArray) -> FloatArray:
    """Return the rise from 0 to 1 over x = 0..1, steepest early, flat at the top."""
    return np.sin(0.5 * np.pi * x**0.8) ** 2


def _decay(u: FloatArray) -> FloatArray:
    """Return an exponential run-off that leaves the peak with a horizontal tangent."""
    return np.exp((_ROUNDING_S - np.sqrt(u * u + _ROUNDING_S**2)) / _RUN_OFF_S)


def _run_off(u: FloatArray, length: FloatArray) -> FloatArray:
    """Return the fall from 1 at u = 0 to 0 at u = length, with dicrotic notch and wave."""
    last = _decay(length)
    fall = (_decay(u) - last) / (1.0 - last)
    # Short diastoles squeeze notch and wave together, and both vanish at either end.
    squeezed = u * (0.7 / np.maximum(length, 0.1)) ** 0.5
    bumps = _gaussian(squeezed, _NOTCH) + _gaussian(squeezed, _DICROTIC)
    return fall + bumps * fall * (1.0 - fall) * 4.0


def pressure_means(
    foot_s: ArrayLike, systole_s: ArrayLike, sbp: ArrayLike, dbp: ArrayLike
) -> FloatArray:
    """Return the mean of :func:`pressure_waveform` from each foot to the next, mmHg.

    Parameters
    ----------
    foot_s, systole_s, sbp, dbp : array-like, shape (k,)
        As for :func:`pressure_waveform`.

    Returns
    -------
    ndarray, shape (k,)

    Raises
    ------
    SignalError
        If times or values do not fit together.

    Examples
    --------
    >>> means = pressure_means([0.2, 1.0, 1.8], [0.33, 1.13, 1.93], 120.0, 80.0)
    >>> bool((means > 90).all() and (means < 110).all())
    True
    """
    foot, systole, high, low = _pulses(foot_s, systole_s, sbp, dbp)
    if not len(foot):
        return foot
    nodes, weights = np.polynomial.legendre.leggauss(48)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    rise = (systole - foot)[:-1]
    length = foot[1:] - systole[:-1]
    up = low[:-1] + (high - low)[:-1] * float(weights @ _upstroke(nodes))
    spans = np.broadcast_to(length[:, None], (len(length), len(nodes)))
    shape = _run_off(nodes * spans, spans) @ weights
    down = low[1:] + (high[:-1] - low[1:]) * shape
    means = (up * rise + down * length) / (rise + length)
    return means[1:-1]


def scr_waveform(times_s: ArrayLike, onset_s: ArrayLike, amplitude: ArrayLike) -> FloatArray:
    """Render skin conductance responses: biexponential, each peaking at its amplitude.

    A response rises from its onset with 0.7 s and decays with 2 s; alone, it peaks
    ``SCR_TIME_TO_PEAK_S`` (1.13 s) after its onset at exactly `amplitude`. Responses add up.

    Parameters
    ----------
    times_s : array-like, shape (n,)
        Sample times, s.
    onset_s : array-like, shape (s,)
        Onsets, s, ascending.
    amplitude : float or array-like, shape (s,)
        µS.

    Returns
    -------
    ndarray, shape (n,)
        µS, 0 before the first onset.

    Raises
    ------
    SignalError
        If the onsets are not ascending or the amplitudes do not fit them.

    References
    ----------
    Shape and time constants: Greco et al. (2016), doi 10.1109/TBME.2015.2474131.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(0, 20, 0.01)
    >>> eda = scr_waveform(t, [5.0], [0.3])
    >>> round(float(eda.max()), 4), round(float(t[eda.argmax()]), 2)
    (0.3, 6.13)
    """
    times = np.asarray(times_s, dtype=np.float64)
    onsets = _ascending(onset_s, "onset_s")
    heights = _same_length(amplitude, len(onsets), "amplitude") * _SCR_NORM
    if not len(onsets):
        return np.zeros_like(times)
    last = np.searchsorted(onsets, times, side="right") - 1
    elapsed = np.maximum(times - onsets[last], 0.0)
    signal = np.zeros_like(times)
    for tau, sign in ((SCR_DECAY_S, 1.0), (SCR_RISE_S, -1.0)):
        signal += sign * _leaky_sum(onsets, heights, tau)[last] * np.exp(-elapsed / tau)
    signal[last < 0] = 0.0
    return signal


def _leaky_sum(onsets: FloatArray, heights: FloatArray, tau: float) -> FloatArray:
    """Return, at each onset, the sum of all responses so far, each decayed by tau."""
    # A response adds to later ones for 20 tau at most (e**-20), so few neighbors matter.
    reach = np.arange(len(onsets)) - np.searchsorted(onsets, onsets - 20.0 * tau)
    total = heights.copy()
    for back in range(1, int(reach.max()) + 1):
        age = onsets[back:] - onsets[:-back]
        total[back:] += heights[:-back] * np.exp(-age / tau)
    return total
