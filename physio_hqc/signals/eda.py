"""Electrodermal activity: tonic and phasic parts, skin conductance responses, quality."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d
from scipy.signal import bessel, butter, find_peaks, lfilter, sosfiltfilt

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import (
    as_signal,
    as_times,
    as_window_array,
    check_sfreq,
    finite_runs,
    true_runs,
)

__all__ = ["decompose_eda", "detect_scrs", "eda_quality"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_TAU_DECAY = 2.0
_TAU_RISE = 0.7
_LOWPASS_HZ = 3.0
_HIGHPASS_HZ = 0.05
_MIN_RUN_S = 4.0
_SCR_GRID_HZ = 16.0
_TONIC_GRID_HZ = 4.0
_TONIC_SIGMA_S = 0.3
_TONIC_CUTOFF_HZ = 0.05
_TONIC_NOISE_US = 0.01
_TONIC_LEAN = 0.2
_SCR_COLUMNS = ("onset_s", "peak_s", "amplitude", "rise_time_s", "half_recovery_s", "overlapped")


def decompose_eda(
    eda: ArrayLike, sfreq: float, *, method: str = "deconvolution"
) -> tuple[FloatArray, FloatArray]:
    """Split skin conductance into its slow tonic and its fast phasic part.

    The two parts always add up to the input; above 8 Hz to the input low-passed at 3 Hz, which
    keeps every skin conductance response. Each stretch between gaps is treated alone; stretches
    shorter than 4 s cannot be split and give NaN. The tonic part is computed on a slow grid, so
    the cost hardly depends on ``sfreq``.

    Parameters
    ----------
    eda : array-like, shape (n,)
        Skin conductance in µS; NaN where missing.
    sfreq : float
        Sampling rate in Hz, 4 Hz wrist data to 2000 Hz laboratory data.
    method : {"deconvolution", "highpass", "cvxeda"}
        ``"deconvolution"``: the decay of a response (time constant 2 s) is undone, which
        shrinks each response to a pulse of about a second, as in the deconvolution approach of
        Benedek & Kaernbach (2010), where the tonic part too is read from the stretches between
        the pulses. Here it is a penalized least-squares line (Eilers, 2003; cutoff 0.05 Hz)
        that leans to the lower side, in which samples count the less the more of a pulse is
        still in them, with the decay applied again. Large responses do not lift it and there
        is no overshoot after them.
        ``"highpass"``: Butterworth of order 2 at 0.05 Hz, forward and backward, as AcqKnowledge
        and NeuroKit2 offer it; the phasic part goes below zero around each response.
        ``"cvxeda"``: the convex optimization of Greco et al. (2016) through NeuroKit2, run at
        4 to 8 Hz on the standardized signal and brought back to µS; needs the package cvxopt.

    Returns
    -------
    tonic, phasic : ndarray, shape (n,)
        Both in µS; NaN where ``eda`` is.

    Raises
    ------
    SignalError
        If an argument makes no sense, or cvxopt is missing for ``"cvxeda"``.

    References
    ----------
    Benedek M, Kaernbach C (2010). A continuous measure of phasic electrodermal activity.
    J Neurosci Methods 190:80-91. doi:10.1016/j.jneumeth.2010.04.028
    Eilers PHC (2003). A perfect smoother. Anal Chem 75:3631-3636. doi:10.1021/ac034173t
    Greco A et al. (2016). cvxEDA. IEEE Trans Biomed Eng 63:797-804.
    doi:10.1109/TBME.2015.2474131

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(0, 60, 0.1)
    >>> tonic, phasic = decompose_eda(5 + 0.01 * time, sfreq=10)
    >>> bool(np.allclose(tonic, 5 + 0.01 * time, atol=1e-3)), bool(abs(phasic).max() < 1e-3)
    (True, True)
    """
    signal = _measured(eda, "eda")
    rate = check_sfreq(sfreq)
    if method not in _TONIC_METHODS:
        raise SignalError(
            f"method {method!r} is unknown to decompose_eda: use one of {sorted(_TONIC_METHODS)}"
        )
    if method == "highpass" and rate <= 2 * _HIGHPASS_HZ:
        raise SignalError(f"sfreq is {rate:g} Hz: method 'highpass' needs more than 0.1 Hz")
    tonic = np.full(signal.size, np.nan)
    phasic = np.full(signal.size, np.nan)
    for start, stop in finite_runs(signal, _min_samples(rate)):
        smooth = _low_passed(signal[start:stop], rate)
        tonic[start:stop] = _tonic_of_run(smooth, rate, _TONIC_METHODS[method])
        phasic[start:stop] = smooth - tonic[start:stop]
    return tonic, phasic


def detect_scrs(
    phasic: ArrayLike,
    sfreq: float,
    *,
    amplitude_min: float = 0.02,
    rise_time_min: float = 0.5,
    rise_time_max: float = 5.0,
) -> pd.DataFrame:
    """Find skin conductance responses: onset, peak, amplitude, rise and half-recovery time.

    A response is counted when its amplitude from its own trough to its own peak reaches
    ``amplitude_min``, an absolute criterion in µS, and its rise takes 0.5 to 5 s. Boucsein et
    al. (2012) give 0.01 µS for computerized and 0.05 µS for visual scoring; the default of
    0.02 µS lies in the usual range and stays clear of the noise of wrist sensors.

    A response that rides on the decay of an earlier one without a trough of its own, or that
    runs into the next before it peaks, is invisible to trough-to-peak scoring. Such responses
    are found after the decay (time constant 2 s) has been undone, as pulses; they are marked
    ``overlapped``, their amplitude is estimated from the height of the pulse (too low where
    the pulse before has not ended), and the same criterion holds. Leave them out for strict
    trough-to-peak scoring. Noisier signals are smoothed more; the criterion stays the same.

    Parameters
    ----------
    phasic : array-like, shape (n,)
        Phasic part in µS, or skin conductance as recorded; NaN where missing. Each stretch
        between gaps is searched alone.
    sfreq : float
        Sampling rate in Hz.
    amplitude_min : float
        Smallest amplitude in µS.
    rise_time_min, rise_time_max : float
        Limits of the rise time in s.

    Returns
    -------
    DataFrame
        One row per response: ``onset_s``, ``peak_s`` (sample / sfreq), ``amplitude`` (µS),
        ``rise_time_s`` (NaN where overlapped), ``half_recovery_s`` (from the peak until half
        the amplitude is lost; NaN where the next response or the end comes first) and
        ``overlapped`` (bool). For a response without a peak of its own ``peak_s`` is where its
        rise is steepest or where the next one takes over.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Boucsein W et al. (2012). Publication recommendations for electrodermal measurements.
    Psychophysiology 49:1017-1034. doi:10.1111/j.1469-8986.2012.01384.x
    Benedek M, Kaernbach C (2010). Decomposition of skin conductance data by means of
    nonnegative deconvolution. Psychophysiology 47:647-658.
    doi:10.1111/j.1469-8986.2009.00972.x

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(0, 40, 0.05)
    >>> after = np.clip(time - 10, 0, None)
    >>> response = 0.3 * 2.7086 * (np.exp(-after / 2) - np.exp(-after / 0.7))
    >>> detect_scrs(response, sfreq=20).round(1)
       onset_s  peak_s  amplitude  rise_time_s  half_recovery_s  overlapped
    0      9.9    11.1        0.3          1.2              2.2       False
    """
    signal = _measured(phasic, "phasic")
    rate = check_sfreq(sfreq)
    _check_positive(amplitude_min, "amplitude_min")
    _check_positive(rise_time_max, "rise_time_max")
    if not 0 <= rise_time_min <= rise_time_max:
        raise SignalError(f"rise_time_min is {rise_time_min}: use 0 to {rise_time_max} s")
    tables = []
    for start, stop in finite_runs(signal, _min_samples(rate)):
        table = _scrs_of_run(signal[start:stop], rate, amplitude_min, rise_time_min, rise_time_max)
        table[["onset_s", "peak_s"]] += start / rate
        tables.append(table)
    if not tables:
        return _empty_scrs()
    return pd.concat(tables, ignore_index=True)


def eda_quality(
    eda: ArrayLike,
    sfreq: float,
    windows: ArrayLike | None = None,
    *,
    times_s: ArrayLike | None = None,
    range_us: tuple[float, float] = (0.05, 60.0),
    slope_max: float = 10.0,
    flat_s: float = 20.0,
) -> pd.DataFrame:
    """Tell per window how much of a skin conductance signal can be used, and why not the rest.

    A sample is unusable when it is missing, outside ``range_us``, within half a second of a
    change faster than ``slope_max`` (over 0.25 s, so that the figure does not depend on the
    sampling rate), in a stretch that does not change at all for ``flat_s``, or held at the
    limit of the converter. Range and slope limits are those of Kleckner et al. (2018).

    Parameters
    ----------
    eda : array-like, shape (n,)
        Skin conductance in µS as recorded; NaN where missing.
    sfreq : float
        Sampling rate in Hz.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default the whole signal.
    times_s : array-like, shape (n,), optional
        Time of each sample in s, default sample / sfreq.
    range_us : tuple of float
        Smallest and largest plausible conductance in µS.
    slope_max : float
        Largest plausible change in µS/s.
    flat_s : float
        Shortest unchanging stretch in s that counts as flat.

    Returns
    -------
    DataFrame
        One row per window: ``quality`` (0 to 1, here the usable share), ``usable_share`` (of
        the samples that the window should hold) and ``reason`` (what is wrong with the rest).

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Kleckner IR et al. (2018). Simple, transparent, and flexible automated quality assessment
    procedures for ambulatory electrodermal activity data. IEEE Trans Biomed Eng 65:1460-1467.
    doi:10.1109/TBME.2017.2758643

    Examples
    --------
    >>> import numpy as np
    >>> signal = 4 + 0.1 * np.sin(np.arange(400) / 30)
    >>> signal[200:] = 0.0
    >>> eda_quality(signal, 4, [[0, 45], [60, 100]])["usable_share"].tolist()
    [1.0, 0.0]
    """
    signal = _measured(eda, "eda")
    rate = check_sfreq(sfreq)
    times = as_times(times_s, signal.size, rate)
    span = (times[0], times[-1] + 1 / rate) if times.size else (0.0, 0.0)
    bounds = as_window_array(windows, span)
    faults = _eda_faults(signal, rate, range_us, slope_max, flat_s)
    first = np.searchsorted(times, bounds[:, 0], side="left")
    last = np.searchsorted(times, bounds[:, 1], side="left")
    present = np.isfinite(signal)
    # Rounding, not ceiling: a window rarely falls exactly on samples.
    expected = np.maximum(np.round((bounds[:, 1] - bounds[:, 0]) * rate), last - first)
    shares = {"missing": 1 - _share(present, first, last, expected)}
    bad = np.zeros(signal.size, dtype=bool)
    for text, mask in faults.items():
        shares[text] = _share(mask & ~bad, first, last, expected)
        bad |= mask
    usable = _share(present & ~bad, first, last, expected)
    return pd.DataFrame(
        {"quality": usable, "usable_share": usable, "reason": _quality_reasons(shares)}
    )


def _measured(x: ArrayLike, name: str) -> FloatArray:
    """Return the signal with fill values (beyond a million, as no sensor gives) as missing."""
    signal = as_signal(x, name)
    signal[np.abs(signal) > 1e6] = np.nan
    return signal


def _check_positive(value: float, name: str) -> None:
    """Raise `SignalError` unless ``value`` is a finite number above 0."""
    if not (np.isfinite(value) and value > 0):
        raise SignalError(f"{name} is {value}: use a number above 0")


def _min_samples(rate: float) -> int:
    """Return the fewest samples of a stretch that can be worked on."""
    return max(int(np.ceil(_MIN_RUN_S * rate)), 8)


def _low_passed(x: FloatArray, rate: float) -> FloatArray:
    """Return ``x`` without what is faster than a skin conductance response can be."""
    if rate <= 8:
        return x.copy()
    # A Bessel filter hardly rings, so the foot of a response is not pulled down.
    sos = bessel(4, _LOWPASS_HZ, fs=rate, output="sos", norm="mag")
    # The padding must cover the filter's memory, or both ends ring.
    filtered: FloatArray = sosfiltfilt(sos, x, padlen=min(x.size - 1, int(rate)))
    return filtered


def _block_means(x: FloatArray, rate: float, target_hz: float) -> tuple[FloatArray, float, float]:
    """Average whole blocks so that the rate lands in [target, 2 target) or stays as it is.

    Returns the means, their rate in Hz and the time of the first in s.
    """
    width = max(1, int(rate / target_hz + 1e-9))
    count = x.size // width
    means = x[: count * width].reshape(count, width).mean(axis=1)
    return means, rate / width, (width - 1) / 2 / rate


def _smooth_derivatives(
    means: FloatArray, rate: float, sigma_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the Gaussian-smoothed signal and its slope per s."""
    sigma = sigma_s * rate
    # Odd reflection lets a drift run on beyond the ends; repeating the end would bend it.
    margin = min(int(4 * sigma) + 1, means.size - 1)
    padded = np.pad(means, margin, mode="reflect", reflect_type="odd")
    inside = slice(margin, margin + means.size)
    smooth: FloatArray = gaussian_filter1d(padded, sigma, mode="nearest")[inside]
    slope: FloatArray = gaussian_filter1d(padded, sigma, order=1, mode="nearest")[inside]
    return smooth, slope * rate


def _tonic_of_run(
    smooth: FloatArray, rate: float, method: Callable[[FloatArray, float], FloatArray]
) -> FloatArray:
    """Compute the tonic part of one gap-free stretch on a slow grid, back at every sample."""
    means, slow_rate, first = _block_means(smooth, rate, _TONIC_GRID_HZ)
    tonic = method(means, slow_rate)
    if slow_rate == rate:
        return tonic
    slow_times = first + np.arange(means.size) / slow_rate
    # Linear beyond the outermost grid points, where a cubic would run away.
    times = np.arange(smooth.size) / rate
    inside = np.clip(times, slow_times[0], slow_times[-1])
    spline = CubicSpline(slow_times, tonic)
    values: FloatArray = spline(inside) + spline(inside, 1) * (times - inside)
    return values


def _tonic_deconvolution(x: FloatArray, rate: float) -> FloatArray:
    """Tonic part as the line through what lies between the pulses of the undone decay."""
    smooth, slope = _smooth_derivatives(x, rate, _TONIC_SIGMA_S)
    sharp = smooth + _TAU_DECAY * slope
    tail = _expected_pulses(x, rate)
    # What a pulse still adds is an error of the line there; noise sets the rest.
    weights = 1 / (1 + (tail / _TONIC_NOISE_US) ** 2) + 1e-6
    return _with_decay(_lower_line(sharp, weights, rate), rate)


def _expected_pulses(x: FloatArray, rate: float) -> FloatArray:
    """Return the height that the pulses of the responses found in ``x`` have at each sample."""
    scrs = _scrs_of_run(x, rate, 0.01, 0.0, 8.0)
    # Half a second early, because smoothing spreads the pulse to before its onset.
    start = np.maximum(np.floor((scrs["onset_s"].to_numpy() - 0.5) * rate).astype(np.int64), 0)
    # A response of 1 µS begins as a step of this height once its decay is undone.
    step = (_TAU_DECAY / _TAU_RISE - 1) / _bateman_peak()
    impulses = np.zeros(x.size)
    np.add.at(impulses, start, scrs["amplitude"].to_numpy() * step)
    expected: FloatArray = lfilter([1.0], [1.0, -np.exp(-1 / (_TAU_RISE * rate))], impulses)
    return expected


def _lower_line(z: FloatArray, weights: FloatArray, rate: float) -> FloatArray:
    """Fit a smooth line to ``z`` that leans to its lower side (an expectile)."""
    stiffness = (rate / (2 * np.pi * _TONIC_CUTOFF_HZ)) ** 4
    penalty = _second_difference_bands(z.size) * stiffness
    line, lean = z, weights
    for _ in range(8):
        bands = penalty.copy()
        bands[-1] += lean
        line = solveh_banded(bands, lean * z)
        lean = weights * np.where(z > line, _TONIC_LEAN, 1 - _TONIC_LEAN)
    return line


def _with_decay(x: FloatArray, rate: float) -> FloatArray:
    """Apply the first-order decay again (the inverse of ``x + tau dx/dt``)."""
    keep = np.exp(-1 / (_TAU_DECAY * rate))
    ahead = max(1, min(int(rate), x.size - 1))
    # The start continues the line of the first second, so that a drift has no transient there.
    begin = x[0] - _TAU_DECAY * (x[ahead] - x[0]) * rate / ahead
    # Mid-step input: a plain one-pole filter would lead by half a sample.
    middle = np.concatenate(([x[0]], (x[1:] + x[:-1]) / 2))
    out, _ = lfilter([1 - keep], [1, -keep], middle[1:], zi=[keep * begin])
    return np.concatenate(([begin], out))


def _second_difference_bands(n: int) -> FloatArray:
    """Return D'D of the second difference of n points as upper bands for `solveh_banded`."""
    bands = np.zeros((3, n))
    for offset, product in ((0, (1, 4, 1)), (1, (-2, -2)), (2, (1,))):
        for shift, value in enumerate(product):
            bands[2 - offset, offset + shift : n - 2 + offset + shift] += value
    return bands


def _tonic_highpass(x: FloatArray, rate: float) -> FloatArray:
    """Tonic part as what a 0.05 Hz high-pass of order 2 takes away."""
    sos = butter(2, _HIGHPASS_HZ, btype="highpass", fs=rate, output="sos")
    phasic: FloatArray = sosfiltfilt(sos, x, padlen=min(x.size - 1, int(20 * rate)))
    return x - phasic


def _tonic_cvxeda(x: FloatArray, rate: float) -> FloatArray:
    """Tonic part of cvxEDA through NeuroKit2, rescaled from standard scores to µS."""
    if find_spec("cvxopt") is None:
        raise SignalError("method 'cvxeda' needs the package cvxopt: install physio-hqc[cvxeda]")
    import neurokit2 as nk

    center, scale = float(x.mean()), float(x.std(ddof=1))
    if scale < 1e-9:
        return x.copy()
    parts = nk.eda_phasic((x - center) / scale, sampling_rate=rate, method="cvxeda")
    tonic: FloatArray = parts["EDA_Tonic"].to_numpy(dtype=np.float64)
    return tonic * scale + center


_TONIC_METHODS: dict[str, Callable[[FloatArray, float], FloatArray]] = {
    "deconvolution": _tonic_deconvolution,
    "highpass": _tonic_highpass,
    "cvxeda": _tonic_cvxeda,
}


def _bateman_peak() -> float:
    """Return the peak of the unscaled response exp(-t / decay) - exp(-t / rise)."""
    time = np.log(_TAU_DECAY / _TAU_RISE) * _TAU_DECAY * _TAU_RISE / (_TAU_DECAY - _TAU_RISE)
    return float(np.exp(-time / _TAU_DECAY) - np.exp(-time / _TAU_RISE))


@lru_cache(maxsize=64)
def _pulse_gain(sigma_s: float) -> float:
    """Return the pulse height that a response of 1 µS has after its decay is undone."""
    rate = 100.0
    time = np.arange(-500, 1500) / rate
    after = np.clip(time, 0, None)
    response = np.exp(-after / _TAU_DECAY) - np.exp(-after / _TAU_RISE)
    smooth, slope = _smooth_derivatives(response / _bateman_peak(), rate, sigma_s)
    return float((smooth + _TAU_DECAY * slope).max())


def _choose_sigmas(means: FloatArray, rate: float, amplitude_min: float) -> tuple[float, float]:
    """Pick the least smoothing, for finding pulses and for reading amplitudes, that noise allows.

    The criterion stays the same absolute one; noisier signals are smoothed more.
    """
    # Third differences see the noise; responses are too slow and too sparse to move the median.
    noise = float(np.median(np.abs(np.diff(means, 3)))) / (0.6745 * np.sqrt(20.0))
    sigmas = np.arange(0.25, 0.525, 0.05).round(2)
    pulse_noise = noise * _TAU_DECAY / np.sqrt(4 * np.sqrt(np.pi) * sigmas**3 * rate)
    gains = np.array([_pulse_gain(float(sigma)) for sigma in sigmas])
    finding = _first_quiet(sigmas, 5 * pulse_noise <= amplitude_min * gains)
    sigmas = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.25])
    level_noise = noise / np.sqrt(np.maximum(2 * np.sqrt(np.pi) * sigmas * rate, 1))
    return finding, _first_quiet(sigmas, 8 * level_noise <= amplitude_min)


def _first_quiet(sigmas: FloatArray, quiet: BoolArray) -> float:
    """Return the first smoothing that is quiet enough, else the strongest."""
    return float(sigmas[quiet.argmax() if quiet.any() else -1])


def _scrs_of_run(
    x: FloatArray, rate: float, amplitude_min: float, rise_min: float, rise_max: float
) -> pd.DataFrame:
    """Find the responses of one gap-free stretch; times from its first sample."""
    means, mean_rate, first = _block_means(x, rate, 20.0)
    if means.size < 8:
        return _empty_scrs()
    sigma, level_sigma = _choose_sigmas(means, mean_rate, amplitude_min)
    mean_times = first + np.arange(means.size) / mean_rate
    grid = np.arange(mean_times[0], mean_times[-1], 1 / _SCR_GRID_HZ)
    smooth, slope = _smooth_derivatives(means, mean_rate, sigma)
    sharp = CubicSpline(mean_times, smooth + _TAU_DECAY * slope)(grid)
    # Amplitudes are read from a lighter smoothing; straight lines between samples add nothing.
    light, _ = _smooth_derivatives(means, mean_rate, level_sigma)
    level = np.interp(grid, mean_times, light)
    pulse_min = amplitude_min * _pulse_gain(sigma)
    reach = int(10 * _SCR_GRID_HZ)
    # A plateau as wide as the window in which prominence is measured has none: no response.
    pulses, _ = find_peaks(
        sharp, plateau_size=(None, reach), prominence=0.5 * pulse_min, wlen=2 * reach + 1
    )
    for _ in range(2):  # once more, because a dropped pulse no longer bounds its neighbors
        table, keep = _measure(level, sharp, pulses, sigma, amplitude_min, rise_min, rise_max)
        pulses = pulses[keep]
    table = table[keep].reset_index(drop=True)
    table[["onset_s", "peak_s"]] += grid[0]
    return table


def _measure(
    level: FloatArray,
    sharp: FloatArray,
    pulses: IntArray,
    sigma: float,
    amplitude_min: float,
    rise_min: float,
    rise_max: float,
) -> tuple[pd.DataFrame, BoolArray]:
    """Measure the response behind each pulse; second result: which of them count."""
    if pulses.size == 0:
        return _empty_scrs(), np.zeros(0, dtype=bool)
    step = 1 / _SCR_GRID_HZ
    gain = _pulse_gain(sigma)
    begin, leave, height = _pulse_starts(sharp, pulses)
    trough = begin + _first_best(-level, begin, pulses)
    # Smoothing lets a pulse leave its base this much before the response begins.
    leave = np.minimum(leave + round(0.75 * sigma / step), pulses)
    onset = np.where(trough < pulses, np.maximum(trough, leave), begin)
    following = np.append(begin[1:], level.size - 1)
    stop = np.maximum(np.minimum(following, onset + int(rise_max / step) + 1), pulses)
    peak = pulses + _first_best(level, pulses, stop)
    amplitude = level[peak] - level[trough]
    merged = (peak >= following) & (following < level.size - 1)
    rise = (peak - begin) * step
    own = (amplitude >= amplitude_min) & ~merged & (peak < stop)
    own &= (rise >= rise_min) & (rise <= rise_max)
    after_other = np.diff(pulses, prepend=-(10**9)) * step < 4 * _TAU_DECAY
    overlapped = ~own & (merged | after_other) & (height / gain >= amplitude_min)
    amplitude = np.where(overlapped, height / gain, amplitude)
    recovery = _half_recovery(level, peak, following, amplitude) * step
    table = pd.DataFrame(
        {
            "onset_s": onset * step,
            "peak_s": peak * step,
            "amplitude": amplitude,
            "rise_time_s": np.where(overlapped, np.nan, (peak - onset) * step),
            "half_recovery_s": np.where(overlapped, np.nan, recovery),
            "overlapped": overlapped,
        }
    )
    return table, own | overlapped


def _pulse_starts(sharp: FloatArray, pulses: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return where each pulse leaves its base, where it has clearly left it, and its height."""
    reach = int(2.5 * _SCR_GRID_HZ)
    earliest = np.maximum(pulses - reach, np.append(0, pulses[:-1]))
    base = earliest + _first_best(-sharp, earliest, pulses)
    height = sharp[pulses] - sharp[base]
    columns = pulses[:, None] - np.arange(reach + 1)
    values = sharp[np.maximum(columns, 0)]
    before = columns <= base[:, None]
    begin, leave = (
        pulses - ((values <= (sharp[base] + share * height)[:, None]) | before).argmax(axis=1)
        for share in (0.1, 0.3)
    )
    return begin, leave, height


def _first_best(values: FloatArray, start: IntArray, stop: IntArray) -> IntArray:
    """Return per row the offset from ``start`` of the largest value in [start, stop]."""
    columns = start[:, None] + np.arange(int((stop - start).max()) + 1)
    inside = columns <= stop[:, None]
    taken = np.where(inside, values[np.minimum(columns, values.size - 1)], -np.inf)
    offsets: IntArray = taken.argmax(axis=1)
    return offsets


def _half_recovery(
    level: FloatArray, peak: IntArray, following: IntArray, amplitude: FloatArray
) -> FloatArray:
    """Return grid steps from each peak until half the amplitude is lost; NaN if never."""
    reach = int(30 * _SCR_GRID_HZ)
    half = level[peak] - amplitude / 2
    columns = peak[:, None] + np.arange(reach)
    values = level[np.minimum(columns, level.size - 1)]
    below = (values <= half[:, None]) & (columns < following[:, None])
    step = below.argmax(axis=1)
    found = below.any(axis=1) & (step > 0)
    rows = np.arange(peak.size)
    before, at = values[rows, step - 1], values[rows, step]
    drop = np.where(found, before - at, 1.0)
    return np.where(found, step - 1 + (before - half) / drop, np.nan)


def _empty_scrs() -> pd.DataFrame:
    """Return a table of responses without rows."""
    table = pd.DataFrame({name: np.empty(0) for name in _SCR_COLUMNS})
    return table.astype({"overlapped": bool})


def _eda_faults(
    x: FloatArray, rate: float, range_us: tuple[float, float], slope_max: float, flat_s: float
) -> dict[str, BoolArray]:
    """Return per kind of fault which samples have it."""
    low, high = range_us
    with np.errstate(invalid="ignore"):
        outside = (x < low) | (x > high)
    flat = np.zeros(x.size, dtype=bool)
    unchanging = np.append(np.diff(x) == 0, False) if x.size else flat
    for start, stop in true_runs(unchanging, max(int(flat_s * rate), 2)):
        flat[start : stop + 1] = True
    return {
        f"outside {low:g} to {high:g} µS": outside,
        "clipped": _at_limit(x, rate),
        "flat": flat,
        f"changes faster than {slope_max:g} µS/s": _too_fast(x, rate, slope_max),
    }


def _too_fast(x: FloatArray, rate: float, slope_max: float) -> BoolArray:
    """Mark half a second around changes over 0.25 s that are faster than ``slope_max``."""
    lag = max(1, round(rate / 4))
    if x.size <= lag:
        return np.zeros(x.size, dtype=bool)
    with np.errstate(invalid="ignore"):
        fast = np.abs(x[lag:] - x[:-lag]) > slope_max * lag / rate
    margin = round(rate / 2)
    edges = np.zeros(x.size + 1, dtype=np.int64)
    at = np.flatnonzero(fast)
    np.add.at(edges, np.maximum(at - margin, 0), 1)
    np.add.at(edges, np.minimum(at + lag + margin + 1, x.size), -1)
    return np.asarray(np.cumsum(edges[:-1]) > 0)


def _at_limit(x: FloatArray, rate: float) -> BoolArray:
    """Mark stretches of a second and more held at the highest value, where values pile up."""
    held = np.zeros(x.size, dtype=bool)
    finite = x[np.isfinite(x)]
    if finite.size == 0:
        return held
    values, counts = np.unique(finite, return_counts=True)
    # A converter's limit holds many more samples than the values just under it.
    if values.size < 3 or counts[-1] < 5 * counts[-3:-1].mean():
        return held
    for start, stop in true_runs(x == values[-1], max(int(rate), 3)):
        held[start:stop] = True
    return held


def _share(mask: BoolArray, first: IntArray, last: IntArray, expected: FloatArray) -> FloatArray:
    """Return per window how many of its expected samples are marked; 0 for empty windows."""
    total = np.concatenate(([0], np.cumsum(mask)))
    counts = (total[last] - total[first]).astype(np.float64)
    return np.divide(counts, expected, out=np.zeros(counts.size), where=expected > 0)


def _quality_reasons(shares: dict[str, FloatArray]) -> list[str]:
    """Return one text per window that names every fault of half a percent and more."""
    names = list(shares)
    table = np.column_stack([shares[name] for name in names])
    return [
        "; ".join(
            f"{100 * share:.0f} % {name}"
            for name, share in zip(names, row, strict=True)
            if share >= 0.005
        )
        for row in table
    ]
