"""Electrodermal features per window: skin conductance level and responses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.features._artifacts import as_stretches, touches
from physio_hqc.features._sums import divide, mean_sd, window_sums
from physio_hqc.features._windows import Reasons, as_windows
from physio_hqc.signals._checks import as_signal, as_table, as_times, check_sfreq, true_runs
from physio_hqc.signals._eda_artifacts import movement
from physio_hqc.signals.eda import detect_scrs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Smaller shares of artifacts are not worth a word.
_WORTH_SAYING = 0.005
_SCR_COLUMNS = ("peak_s", "amplitude", "rise_time_s", "half_recovery_s")


def eda(
    tonic: ArrayLike,
    phasic: ArrayLike,
    sfreq: float,
    windows: ArrayLike | None = None,
    *,
    scrs: pd.DataFrame | None = None,
    times_s: ArrayLike | None = None,
    artifacts: pd.DataFrame | ArrayLike | None = None,
    level_s_min: float = 5.0,
    rate_s_min: float = 30.0,
    rate_s_recommended: float = 60.0,
) -> pd.DataFrame:
    """Summarize skin conductance level and responses in each window.

    A response belongs to the window that its peak falls in. A window without a response has a
    count of 0 and an amplitude sum of 0; mean amplitude, rise and recovery are then NaN, "no SCR":
    the mean amplitude is taken over the responses that are there, never over zeros. Responses are
    the spontaneous (nonspecific) and evoked ones alike, as nothing is known about stimuli here
    (see `scr_latency`).

    Rates are per minute of usable signal: neither missing nor in one of the ``artifacts``. Those
    are left out of the levels, too, with the responses that peak in them; every value of such a
    window says what share that was.

    Parameters
    ----------
    tonic, phasic : array-like, shape (n,)
        As `physio_hqc.signals.decompose_eda` returns them, in µS; NaN where missing.
    sfreq : float
        Sampling rate in Hz.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open; default the whole signal.
    scrs : DataFrame, optional
        As `physio_hqc.signals.detect_scrs` returns them, times on the clock of ``windows``;
        default: found in ``phasic``.
    times_s : array-like, shape (n,), optional
        Time of each sample in s, default sample / sfreq.
    artifacts : DataFrame or array-like, shape (k, 2), optional
        Stretches to leave out, onset and offset in s on the clock of ``windows``, as
        `physio_hqc.signals.eda_artifacts` returns them for the signal as recorded; an empty list
        for none. Default: what moves in ``tonic + phasic`` as skin cannot.
    level_s_min : float
        Fewest seconds of usable signal for any value.
    rate_s_min, rate_s_recommended : float
        Seconds of usable signal below which the response rate is withheld, or carries a
        caution.

    Returns
    -------
    DataFrame
        One row per window: ``EDA_Tonic_Mean``, ``EDA_Tonic_SD``, ``EDA_Phasic_SD`` (µS, n - 1),
        ``EDA_Tonic_Slope`` (µS/min, least squares), ``SCR_Peaks_N``, ``SCR_Rate`` (1/min),
        ``SCR_Peaks_Amplitude_Mean``, ``SCR_Peaks_Amplitude_Sum`` (µS), ``SCR_RiseTime_Mean``,
        ``SCR_RecoveryTime_Mean`` (s).

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Boucsein W et al. (2012). Publication recommendations for electrodermal measurements.
    Psychophysiology 49:1017-1034. doi:10.1111/j.1469-8986.2012.01384.x

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(0, 120, 0.25)
    >>> table = eda(5 + time / 60, np.zeros(480), 4)
    >>> table[["EDA_Tonic_Slope", "SCR_Peaks_N", "SCR_Rate"]].round(6).values.tolist()
    [[1.0, 0.0, 0.0]]
    >>> table.attrs["reasons"]["SCR_Peaks_Amplitude_Mean"]
    ['no SCR']
    """
    rate = check_sfreq(sfreq)
    level, fast = as_signal(tonic, "tonic"), as_signal(phasic, "phasic")
    if level.size != fast.size:
        raise SignalError(f"tonic has {level.size} samples and phasic {fast.size}: pass a pair")
    times = as_times(times_s, level.size, rate)
    span = (float(times[0]), float(times[-1]) + 1 / rate) if times.size else (0.0, 0.0)
    bounds = as_windows(windows, span)
    found = _scrs_on_clock(detect_scrs(fast, rate), times, rate) if scrs is None else scrs
    found = as_table(found, _SCR_COLUMNS, "scrs", source="what detect_scrs returns")
    stretches = _moving(level + fast, times, rate) if artifacts is None else as_stretches(artifacts)
    edges = np.searchsorted(times, bounds, side="left")
    present = np.isfinite(level + fast)
    lost = _inside(stretches, times)
    usable = present & ~lost
    usable_s = window_sums(usable.astype(np.float64), edges) / rate
    lost_s = window_sums(present.astype(np.float64), edges) / rate - usable_s
    level[lost] = fast[lost] = np.nan
    columns = _level_columns(level, fast, times, edges)
    columns |= _response_columns(_undisturbed(found, stretches), bounds, usable_s)
    limits = (level_s_min, rate_s_min, rate_s_recommended)
    return _with_reasons(columns, usable_s, lost_s, limits)


def _moving(signal: FloatArray, times: FloatArray, rate: float) -> FloatArray:
    """Return the stretches (k, 2) in s in which the signal moves as skin cannot."""
    runs = true_runs(movement(signal, rate))
    return np.column_stack([times[runs[:, 0]], times[runs[:, 1] - 1] + 1 / rate])


def _inside(stretches: FloatArray, times: FloatArray) -> BoolArray:
    """Tell which samples lie in one of the stretches."""
    inside = np.zeros(times.size, dtype=bool)
    for first, last in np.searchsorted(times, stretches, side="left").tolist():
        inside[first:last] = True
    return inside


def _undisturbed(scrs: pd.DataFrame, stretches: FloatArray) -> pd.DataFrame:
    """Leave out the responses that peak in one of the stretches."""
    peaks = scrs["peak_s"].to_numpy(dtype=np.float64)
    return scrs[~touches(stretches, peaks, peaks)]


def _scrs_on_clock(scrs: pd.DataFrame, times: FloatArray, rate: float) -> pd.DataFrame:
    """Move response times from sample / sfreq to the clock of ``times``."""
    if times.size == 0:
        return scrs
    index = np.arange(times.size) / rate
    return scrs.assign(peak_s=np.interp(scrs["peak_s"], index, times))


def _level_columns(
    tonic: FloatArray, phasic: FloatArray, times: FloatArray, edges: IntArray
) -> dict[str, FloatArray]:
    """Return what describes the level: mean, SD, slope of tonic, and SD of phasic."""
    mean, sd = mean_sd(tonic, edges)
    _, phasic_sd = mean_sd(phasic, edges)
    finite = np.isfinite(tonic)
    center = float(tonic[finite].mean()) if finite.any() else 0.0
    y = np.where(finite, tonic - center, 0.0)
    x = np.where(finite, times - (times.mean() if times.size else 0.0), 0.0)
    n = window_sums(finite.astype(np.float64), edges)
    sx, sy = window_sums(x, edges), window_sums(y, edges)
    sxx = window_sums(x * x, edges) - sx * np.nan_to_num(divide(sx, n))
    sxy = window_sums(x * y, edges) - sx * np.nan_to_num(divide(sy, n))
    return {
        "EDA_Tonic_Mean": mean,
        "EDA_Tonic_SD": sd,
        "EDA_Tonic_Slope": 60 * divide(sxy, np.where(n > 1, sxx, 0.0)),
        "EDA_Phasic_SD": phasic_sd,
    }


def _response_columns(
    scrs: pd.DataFrame, bounds: FloatArray, usable_s: FloatArray
) -> dict[str, FloatArray]:
    """Return what describes the responses: number, rate, amplitude, rise and recovery."""
    ordered = scrs.sort_values("peak_s", kind="stable")
    edges = np.searchsorted(ordered["peak_s"].to_numpy(dtype=np.float64), bounds, side="left")
    count = (edges[:, 1] - edges[:, 0]).astype(np.float64)
    amplitude = ordered["amplitude"].to_numpy(dtype=np.float64)
    rise, recovery = (
        mean_sd(ordered[name].to_numpy(dtype=np.float64), edges)[0]
        for name in ("rise_time_s", "half_recovery_s")
    )
    return {
        "SCR_Peaks_N": count,
        "SCR_Rate": divide(60 * count, usable_s),
        "SCR_Peaks_Amplitude_Mean": mean_sd(amplitude, edges)[0],
        "SCR_Peaks_Amplitude_Sum": window_sums(amplitude, edges),
        "SCR_RiseTime_Mean": rise,
        "SCR_RecoveryTime_Mean": recovery,
    }


def _with_reasons(
    columns: dict[str, FloatArray],
    usable_s: FloatArray,
    lost_s: FloatArray,
    limits: tuple[float, float, float],
) -> pd.DataFrame:
    """Withhold what has too little signal behind it and say why values are missing."""
    level_s_min, rate_s_min, rate_s_recommended = limits
    reasons = Reasons(usable_s.size)
    count = columns["SCR_Peaks_N"]
    share = np.divide(
        lost_s, usable_s + lost_s, out=np.zeros(lost_s.size), where=usable_s + lost_s > 0
    )
    left_out = [f"{100 * part:.0f} % left out as artifact" for part in share.tolist()]
    for name in columns:
        least = max(rate_s_min, level_s_min) if name == "SCR_Rate" else level_s_min
        texts = [
            f"{seconds:.1f} s of signal, needs {least:g}" + (f" ({text})" if lost > 0 else "")
            for seconds, lost, text in zip(
                usable_s.tolist(), lost_s.tolist(), left_out, strict=True
            )
        ]
        reasons.withhold(name, usable_s < least, texts)
        reasons.flag(name, share >= _WORTH_SAYING, left_out)
    few = [f"{s:.0f} s of signal, {rate_s_recommended:g} recommended" for s in usable_s.tolist()]
    reasons.flag("SCR_Rate", usable_s < rate_s_recommended, few)
    for name, lacking in (
        ("SCR_Peaks_Amplitude_Mean", "no SCR"),
        ("SCR_RiseTime_Mean", "no SCR with a trough and peak of its own"),
        ("SCR_RecoveryTime_Mean", "no SCR that recovers by half before the next"),
    ):
        reasons.withhold(name, count == 0, "no SCR")
        reasons.withhold(name, np.isnan(columns[name]), lacking)
    return reasons.frame(columns)
