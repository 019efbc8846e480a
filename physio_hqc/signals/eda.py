"""Electrodermal activity: tonic and phasic parts, skin conductance responses, quality."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.signal import bessel, sosfiltfilt

from physio_hqc.errors import SignalError
from physio_hqc.signals._checks import (
    as_times,
    as_window_array,
    check_sfreq,
    finite_runs,
    true_runs,
)
from physio_hqc.signals._eda_artifacts import RANGE_US, SLOPE_MAX, disturbed, faults, without
from physio_hqc.signals._eda_grid import (
    BoolArray,
    FloatArray,
    IntArray,
    block_means,
    converter_step,
    measured,
    min_samples,
    white_noise,
    without_steps,
)
from physio_hqc.signals._eda_scrs import SCR_MEANS_HZ, empty_scrs, scrs_of_run
from physio_hqc.signals._eda_tonic import HIGHPASS_HZ, TONIC_METHODS

__all__ = ["decompose_eda", "detect_scrs", "eda_artifacts", "eda_quality"]

_LOWPASS_HZ = 3.0
_LOWPASS_GRID_HZ = 50.0
_TONIC_GRID_HZ = 4.0
# Samples worked on at a time, and what a filter needs to see on both sides of them in s.
_CHUNK = 1 << 18
_FILTER_MEMORY_S = 10.0
_PARTS = (
    *("missing_share", "range_share", "clipped_share", "flat_share"),
    *("slope_share", "movement_share"),
)


def decompose_eda(
    eda: ArrayLike, sfreq: float, *, method: str = "deconvolution"
) -> tuple[FloatArray, FloatArray]:
    """Split skin conductance into its slow tonic and its fast phasic part.

    The two parts always add up to the input; above 8 Hz to the input low-passed at 3 Hz, which
    keeps every skin conductance response. A coarse staircase (converter steps of 0.008 µS and
    more) is replaced by the smoothest course within half a step of it. Each stretch between gaps
    is treated alone; stretches shorter than 4 s cannot be split and give NaN.

    Steps and spikes of up to 3.5 s, as `eda_artifacts` finds them, go to the tonic part as they
    are. Through longer stretches of movement or lost contact it runs straight, so that they do
    not bend what lies beside, and the phasic part keeps them. The tonic part is computed on a
    slow grid, so the cost hardly depends on ``sfreq``.

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
    signal = measured(eda, "eda")
    rate = check_sfreq(sfreq)
    if method not in TONIC_METHODS:
        raise SignalError(
            f"method {method!r} is unknown to decompose_eda: use one of {sorted(TONIC_METHODS)}"
        )
    if method == "highpass" and rate <= 2 * HIGHPASS_HZ:
        raise SignalError(f"sfreq is {rate:g} Hz: method 'highpass' needs more than 0.1 Hz")
    tonic = np.full(signal.size, np.nan)
    phasic = np.full(signal.size, np.nan)
    for start, stop in finite_runs(signal, min_samples(rate)):
        smooth = _low_passed(signal[start:stop], rate)
        clear, moved = without(smooth, _lost(signal[start:stop], rate), rate)
        means, slow_rate, first = block_means(clear, rate, _TONIC_GRID_HZ)
        del clear
        slow = TONIC_METHODS[method](means, slow_rate)
        tonic[start:stop] = _at_every_sample(slow, slow_rate, first, smooth.size, rate)
        tonic[start:stop] += moved
        np.subtract(smooth, tonic[start:stop], out=phasic[start:stop])
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
    are found after the decay has been undone, as pulses; they are marked ``overlapped``, their
    amplitude is estimated from the height of the pulse (too low where the pulse before has not
    ended), and the same criterion holds. Leave them out for strict trough-to-peak scoring.

    Pulses are looked for at smoothings of 0.12 to 0.7 s. Each must stand out of the noise that the
    signal itself shows, so that noise is not counted; the finest smoothing at which it does says
    where it lies. The criterion is an absolute one whatever the noise. Nothing is counted whose
    rise touches a stretch that moves as skin cannot (see `eda_artifacts`).

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
        ``overlapped`` (bool). For a response without a peak of its own ``peak_s`` is where it
        would peak after the median rise time of the others.

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
    signal = measured(phasic, "phasic")
    rate = check_sfreq(sfreq)
    _check_positive(amplitude_min, "amplitude_min")
    _check_positive(rise_time_max, "rise_time_max")
    if not 0 <= rise_time_min <= rise_time_max:
        raise SignalError(f"rise_time_min is {rise_time_min}: use 0 to {rise_time_max} s")
    runs = finite_runs(signal, min_samples(rate))
    noise = _median_noise([signal[start:stop] for start, stop in runs], rate)
    tables = []
    for start, stop in runs:
        run = _read(signal[start:stop], rate)
        bad = disturbed(run, rate)
        clear, _ = without(run, bad, rate)
        table = scrs_of_run(clear, rate, amplitude_min, rise_time_min, rise_time_max, noise)
        table = table[~_touched(table, true_runs(bad) / rate)]
        tables.append(
            table.assign(
                onset_s=table["onset_s"] + start / rate, peak_s=table["peak_s"] + start / rate
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else empty_scrs()


def eda_artifacts(
    eda: ArrayLike,
    sfreq: float,
    *,
    times_s: ArrayLike | None = None,
    range_us: tuple[float, float] = RANGE_US,
    slope_max: float = SLOPE_MAX,
    flat_s: float = 20.0,
    around_s: float = 5.0,
) -> pd.DataFrame:
    """Find the stretches of a skin conductance signal that do not come from the skin.

    The rules, in the order in which they are applied:

    - outside ``range_us``, and changes faster than ``slope_max`` (over 0.25 s, so that the figure
      does not depend on the sampling rate), each with ``around_s`` before and after, as Kleckner
      et al. (2018) have it;
    - held at the limit of the converter for a second and more;
    - unchanging for ``flat_s``;
    - movement: what is too fast for sweat in its ducts. That is a fall within half a second of
      more than a fifth of the height over the 10 s around and more than the rise before it allows
      (a response recovers several times slower than it rises, Boucsein et al., 2012), or a step
      that is over within a quarter of a second. Falls 3 s and less apart are one stretch, with 0.5
      to 1.5 s before and after. Kocielnik et al. (2013) and Taylor et al. (2015) look for the same
      in percent of the level; here it is measured against the responses, as a participant with a
      low level may have large ones.

    Parameters
    ----------
    eda : array-like, shape (n,)
        Skin conductance in µS as recorded; NaN where missing (which is no artifact).
    sfreq : float
        Sampling rate in Hz.
    times_s : array-like, shape (n,), optional
        Time of each sample in s, default sample / sfreq.
    range_us : tuple of float
        Smallest and largest plausible conductance in µS.
    slope_max : float
        Largest plausible change in µS/s.
    flat_s : float
        Shortest unchanging stretch in s that counts as flat.
    around_s : float
        What is left out before and after samples outside the range or changing too fast, in s.

    Returns
    -------
    DataFrame
        One row per stretch and reason, in the order of time: ``onset_s``, ``offset_s`` (half-open)
        and ``reason``. Stretches of different reasons do not overlap.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Kleckner IR et al. (2018). Simple, transparent, and flexible automated quality assessment
    procedures for ambulatory electrodermal activity data. IEEE Trans Biomed Eng 65:1460-1467.
    doi:10.1109/TBME.2017.2758643
    Kocielnik R et al. (2013). Smart technologies for long-term stress monitoring at work. Proc
    IEEE CBMS:53-58. doi:10.1109/CBMS.2013.6627764
    Taylor S et al. (2015). Automatic identification of artifacts in electrodermal activity data.
    Proc IEEE EMBC:1934-1937. doi:10.1109/EMBC.2015.7318762

    Examples
    --------
    >>> import numpy as np
    >>> signal = 2 + 0.1 * np.sin(np.arange(400) / 30)
    >>> signal[200:240] = 0.0
    >>> eda_artifacts(signal, 4).values.tolist()
    [[45.0, 65.0, 'outside 0.05 to 60 µS']]
    """
    signal = measured(eda, "eda")
    rate = check_sfreq(sfreq)
    times = as_times(times_s, signal.size, rate)
    present = np.isfinite(signal)
    found = _faults(signal, rate, range_us, slope_max, flat_s, around_s)
    rows = [
        (float(times[start]), float(times[stop - 1]) + 1 / rate, reason)
        for reason, mask in found.items()
        for start, stop in true_runs(mask & present)
    ]
    return pd.DataFrame(sorted(rows), columns=["onset_s", "offset_s", "reason"]).astype(
        {"onset_s": float, "offset_s": float, "reason": object}
    )


def eda_quality(
    eda: ArrayLike,
    sfreq: float,
    windows: ArrayLike | None = None,
    *,
    times_s: ArrayLike | None = None,
    range_us: tuple[float, float] = (0.05, 60.0),
    slope_max: float = 10.0,
    flat_s: float = 20.0,
    around_s: float = 5.0,
) -> pd.DataFrame:
    """Tell per window how much of a skin conductance signal can be used, and why not the rest.

    A sample is unusable when it is missing, or in a stretch that `eda_artifacts` finds: outside
    the plausible range or changing too fast (each with 5 s around), clipped, flat, or moving as
    skin cannot. Each kind has its own column; together with ``usable_share`` they make up the
    whole window.

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
    around_s : float
        What is left out before and after samples outside the range or changing too fast, in s.

    Returns
    -------
    DataFrame
        One row per window: ``quality`` (0 to 1, here the usable share), ``usable_share`` (of
        the samples that the window should hold), the parts of the rest ``missing_share``,
        ``range_share``, ``clipped_share``, ``flat_share``, ``slope_share`` and
        ``movement_share``, and ``reason`` (what is wrong with the rest, in words).

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
    >>> signal = 2 + 0.1 * np.sin(np.arange(400) / 30)
    >>> signal[200:] = 0.0
    >>> eda_quality(signal, 4, [[0, 45], [60, 100]])["usable_share"].tolist()
    [1.0, 0.0]
    """
    signal = measured(eda, "eda")
    rate = check_sfreq(sfreq)
    times = as_times(times_s, signal.size, rate)
    span = (times[0], times[-1] + 1 / rate) if times.size else (0.0, 0.0)
    bounds = as_window_array(windows, span)
    first = np.searchsorted(times, bounds[:, 0], side="left")
    last = np.searchsorted(times, bounds[:, 1], side="left")
    present = np.isfinite(signal)
    # Rounding, not ceiling: a window rarely falls exactly on samples.
    expected = np.maximum(np.round((bounds[:, 1] - bounds[:, 0]) * rate), last - first)
    found = _faults(signal, rate, range_us, slope_max, flat_s, around_s)
    shares = {"missing": np.where(expected > 0, 1 - _share(present, first, last, expected), 0.0)}
    shares |= {
        reason: _share(mask & present, first, last, expected) for reason, mask in found.items()
    }
    rest = np.clip(1 - sum(shares.values()), 0.0, 1.0)
    usable = np.where(expected > 0, rest, 0.0)
    columns = dict(zip(_PARTS, shares.values(), strict=True))
    return pd.DataFrame(
        {"quality": usable, "usable_share": usable, **columns, "reason": _quality_reasons(shares)}
    )


def _check_positive(value: float, name: str) -> None:
    """Raise `SignalError` unless ``value`` is a finite number above 0."""
    if not (np.isfinite(value) and value > 0):
        raise SignalError(f"{name} is {value}: use a number above 0")


def _low_passed(x: FloatArray, rate: float) -> FloatArray:
    """Return ``x`` without what is faster than a skin conductance response can be."""
    step = converter_step(x)
    if rate <= 8:
        return without_steps(x, rate, step) if step else x.copy()
    means, mean_rate, first = block_means(x, rate, _LOWPASS_GRID_HZ)
    if step:
        means = without_steps(means, mean_rate, step)
    # A Bessel filter hardly rings, so the foot of a response is not pulled down.
    sos = bessel(4, _LOWPASS_HZ, fs=mean_rate, output="sos", norm="mag")
    memory, core = int(_FILTER_MEMORY_S * mean_rate), _CHUNK // 4
    width = round(rate / mean_rate)
    out = np.empty(x.size)
    for start in range(0, means.size, core):
        last = start + core >= means.size
        low, high = max(start - memory, 0), min(start + core + memory, means.size)
        # The padding must cover the filter's memory, or both ends ring.
        piece = sosfiltfilt(sos, means[low:high], padlen=min(high - low - 1, int(mean_rate)))
        begin, end = start * width, x.size if last else (start + core) * width
        out[begin:end] = _at_samples(piece, mean_rate, first + low / mean_rate, begin, end, rate)
    return out


def _median_noise(runs: list[FloatArray], rate: float) -> tuple[float, float]:
    """Return the noise that stretches have; of a short one alone it is not known well."""
    if len(runs) < 2:
        return 0.0, 0.0
    noise: list[tuple[float, float]] = [
        white_noise(*block_means(run, rate, SCR_MEANS_HZ)[:2]) for run in runs
    ]
    # Half the time has more, half has less.
    order = np.argsort([fine for fine, _ in noise], kind="stable").tolist()
    lengths = np.cumsum([runs[k].size for k in order])
    median: int = order[int(np.searchsorted(lengths, lengths[-1] / 2))]
    return noise[median]


def _read(x: FloatArray, rate: float) -> FloatArray:
    """Return ``x`` for finding responses: low-passed where the converter's steps are coarse."""
    return _low_passed(x, rate) if converter_step(x) else x


def _at_every_sample(
    values: FloatArray, slow_rate: float, first: float, size: int, rate: float
) -> FloatArray:
    """Bring ``values`` on a slow grid, the first at ``first`` s, back to every sample."""
    return _at_samples(values, slow_rate, first, 0, size, rate)


def _at_samples(
    values: FloatArray, slow_rate: float, first: float, begin: int, end: int, rate: float
) -> FloatArray:
    """Bring ``values`` on a slow grid, the first at ``first`` s, to samples of a faster one."""
    if slow_rate == rate:
        from_first = begin - round(first * rate)
        return values[from_first : from_first + end - begin]
    spline = CubicSpline(first + np.arange(values.size) / slow_rate, values)
    slope = spline.derivative()
    low, high = float(spline.x[0]), float(spline.x[-1])
    out = np.empty(end - begin)
    for start in range(begin, end, _CHUNK):
        times = np.arange(start, min(start + _CHUNK, end)) / rate
        # Linear beyond the outermost grid points, where a cubic would run away.
        inside = np.clip(times, low, high)
        out[start - begin : start - begin + _CHUNK] = spline(inside)
        beyond = times != inside
        if beyond.any():
            more = slope(inside[beyond]) * (times - inside)[beyond]
            out[start - begin : start - begin + _CHUNK][beyond] += more
    return out


def _lost(x: FloatArray, rate: float) -> BoolArray:
    """Mark what must not shape the tonic part of a gap-free stretch."""
    low, high = RANGE_US
    outside = (x < low) | (x > high)
    # Where most lies outside, the range says nothing about contact.
    if outside.mean() > 0.5:
        return disturbed(x, rate)
    return disturbed(x, rate) | outside


def _touched(table: pd.DataFrame, stretches: FloatArray) -> BoolArray:
    """Tell which responses begin, rise or peak inside one of the stretches (m, 2) in s."""
    if not len(stretches):
        return np.zeros(len(table), dtype=bool)
    following = np.searchsorted(stretches[:, 1], table["onset_s"].to_numpy(), side="right")
    begins = np.append(stretches[:, 0], np.inf)[following]
    return np.asarray(begins < table["peak_s"].to_numpy())


def _faults(
    x: FloatArray,
    rate: float,
    range_us: tuple[float, float],
    slope_max: float,
    flat_s: float,
    around_s: float,
) -> dict[str, BoolArray]:
    """Return per kind of fault which samples have it; a sample has one at most."""
    _check_positive(slope_max, "slope_max")
    _check_positive(flat_s, "flat_s")
    if not 0 <= around_s < np.inf:
        raise SignalError(f"around_s is {around_s}: use 0 s or more")
    if not range_us[0] < range_us[1]:
        raise SignalError(f"range_us is {range_us}: pass the smaller limit first")
    found = faults(x, rate, range_us, slope_max, flat_s, around_s)
    taken = np.zeros(x.size, dtype=bool)
    for reason, mask in found.items():
        found[reason] = mask & ~taken
        taken |= mask
    return found


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
