"""Breathing per window: rate, variability, size, and whether it keeps to the HF band."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.errors import SignalError
from physio_hqc.features._sums import divide, mean_sd, window_sums
from physio_hqc.features._windows import Reasons, as_windows
from physio_hqc.signals._checks import as_table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COLUMNS = (
    "RSP_Rate",
    "RSP_Rate_SD",
    "RSP_N_Breaths",
    "RSP_Amplitude_Mean",
    "RSP_Phase_Duration_Inspiration",
    "RSP_Phase_Duration_Expiration",
)
COURSE_COLUMNS = ("RSP_Rate",)
BAND_COLUMN = "RSP_HF_Share"

_BREATHS = ("inhale_s", "exhale_s", "end_s", "amplitude", "valid")
_COURSE = ("onset_s", "offset_s", "rate", "valid")
_SOURCE = "what detect_breaths or ecg_respiration returns"
# Breathing is known from the first whole breath to the last, so that edges cost some seconds.
_EDGE_S = 6.0
_LEAST_BREATHS = 3
_LEAST_SHARE, _FULL_SHARE = 0.5, 0.8


def respiration(
    breaths: pd.DataFrame,
    windows: ArrayLike | None = None,
    *,
    hf: tuple[float, float] = (0.15, 0.40),
    minimum_s: float = 30.0,
    recommended_s: float = 60.0,
) -> pd.DataFrame:
    """Summarize breathing in each window.

    The rate is the number of valid breaths per minute of the time that they cover; of a breath
    that an edge of the window cuts, its part inside counts. Standard deviation and means are
    those of the breaths that start in the window.

    Parameters
    ----------
    breaths : DataFrame
        As `physio_hqc.signals.detect_breaths` returns them; or, without a recording of
        respiration, what `physio_hqc.signals.ecg_respiration` estimates: that gives
        ``RSP_Rate`` and ``RSP_HF_Share`` only.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open. Default: one window over all breaths.
    hf : tuple of float
        Band in Hz of ``RSP_HF_Share``: see `breathing_in_band`.
    minimum_s, recommended_s : float
        Seconds of breathing below which values are withheld, or carry a caution.

    Returns
    -------
    DataFrame, m rows
        ``RSP_Rate`` and ``RSP_Rate_SD`` (1/min, n - 1), ``RSP_N_Breaths``,
        ``RSP_Amplitude_Mean`` (unit of the signal), ``RSP_Phase_Duration_Inspiration`` and
        ``RSP_Phase_Duration_Expiration`` (s; the rest after breathing out counts to the latter),
        ``RSP_HF_Share`` (0 to 1).

        ``attrs["reasons"]`` maps each column to a list of one text per window: why the value is
        NaN, ``"flag: ..."`` for a caution that it carries, or ``""``.

    Raises
    ------
    SignalError
        If ``breaths`` lacks a column or ``windows`` is not (m, 2).

    References
    ----------
    Ritz T. et al. (2002). Guidelines on mechanical lung function measurements in
    psychophysiology. Psychophysiology 39, 546-567.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import respiration
    >>> from physio_hqc.signals import detect_breaths
    >>> times = np.arange(0, 125, 0.04)
    >>> breaths = detect_breaths(-np.cos(2 * np.pi * 0.25 * times), 25)
    >>> table = respiration(breaths, [[0, 60], [60, 120]])
    >>> table[["RSP_Rate", "RSP_N_Breaths", "RSP_HF_Share"]].round(2).values.tolist()
    [[15.0, 14.0, 1.0], [15.0, 15.0, 1.0]]
    """
    if _is_course(breaths):
        return _from_course(breaths, windows, hf, minimum_s)
    inhale, exhale, end = breath_columns(breaths)
    bounds = as_windows(windows, (float(inhale[0]), float(end[-1])) if inhale.size else (0.0, 0.0))
    covered = _covered(inhale, end, end - inhale, bounds)
    breathed = _covered(inhale, end, np.ones(inhale.size), bounds)
    edges = np.searchsorted(inhale, bounds, side="left")
    length = end - inhale
    values = {
        "RSP_Rate": 60 * divide(breathed, covered),
        "RSP_Rate_SD": mean_sd(divide(np.full(length.size, 60.0), length), edges)[1],
        "RSP_N_Breaths": (edges[:, 1] - edges[:, 0]).astype(np.float64),
        "RSP_Amplitude_Mean": mean_sd(_valid(breaths)["amplitude"].to_numpy(float), edges)[0],
        "RSP_Phase_Duration_Inspiration": mean_sd(exhale - inhale, edges)[0],
        "RSP_Phase_Duration_Expiration": mean_sd(end - exhale, edges)[0],
        BAND_COLUMN: _in_band(inhale, end, bounds, hf, covered),
    }
    reasons = Reasons(len(bounds))
    measured = [column for column in values if column != "RSP_N_Breaths"]
    _limit(reasons, measured, bounds, covered, minimum_s, recommended_s)
    few = values["RSP_N_Breaths"] < _LEAST_BREATHS
    texts = [f"{n:.0f} breaths, needs {_LEAST_BREATHS}" for n in values["RSP_N_Breaths"]]
    for column in measured:
        reasons.withhold(column, few, texts)
    unknown = np.isnan(values["RSP_Amplitude_Mean"])
    reasons.withhold("RSP_Amplitude_Mean", unknown, "no breath whose size is known")
    return reasons.frame(values)


def breathing_in_band(
    breaths: pd.DataFrame,
    windows: ArrayLike | None = None,
    hf: tuple[float, float] = (0.15, 0.40),
    *,
    minimum_s: float = 30.0,
) -> pd.DataFrame:
    """Tell which share of the breathing of each window lies inside a band.

    HF power and RSA speak of vagal activity only as far as breathing stays in their band; speech
    moves it below. The share is one of time: of the seconds that valid breaths cover, those of
    breaths no longer than 1 / ``hf[0]`` and no shorter than 1 / ``hf[1]``.

    Parameters
    ----------
    breaths : DataFrame
        As `physio_hqc.signals.detect_breaths` or `physio_hqc.signals.ecg_respiration` return
        them; of the latter, the share of the windows of 32 s whose rate lies in the band.
    windows : array-like, shape (m, 2), optional
        Onset and offset in s, half-open. Default: one window over all breaths.
    hf : tuple of float
        Band in Hz.
    minimum_s : float
        Fewest seconds of breathing for a value.

    Returns
    -------
    DataFrame, m rows
        ``RSP_HF_Share`` (0 to 1); NaN where breathing is not known well enough to tell, with
        the reason in ``attrs["reasons"]``.

    Raises
    ------
    SignalError
        If an argument makes no sense.

    References
    ----------
    Task Force (1996). Heart rate variability: standards of measurement. Circulation 93, 1043.
    doi:10.1161/01.CIR.93.5.1043.
    Grossman P., Taylor E. W. (2007). Toward understanding respiratory sinus arrhythmia.
    Biological Psychology 74, 263. doi:10.1016/j.biopsycho.2005.11.014.

    Examples
    --------
    >>> import numpy as np
    >>> from physio_hqc.features import breathing_in_band
    >>> from physio_hqc.signals import detect_breaths
    >>> times = np.arange(0, 120, 0.04)
    >>> slow_then_fast = np.interp(times, [0, 60, 120], [0, 6, 21])
    >>> breaths = detect_breaths(-np.cos(2 * np.pi * slow_then_fast), 25)
    >>> breathing_in_band(breaths, [[0, 60], [60, 120]])["RSP_HF_Share"].round(2).tolist()
    [0.0, 1.0]
    """
    table = respiration(breaths, windows, hf=hf, minimum_s=minimum_s, recommended_s=minimum_s)
    band = table[[BAND_COLUMN]].copy()
    band.attrs["reasons"] = {BAND_COLUMN: table.attrs["reasons"][BAND_COLUMN]}
    return band


def breath_columns(breaths: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return start of inspiration, start of expiration and end of the valid breaths, in order."""
    if _is_course(breaths):
        raise SignalError(
            "breaths was estimated from the ECG: pass the breaths of a respiration signal"
        )
    valid = _valid(breaths)
    inhale, exhale, end = (valid[name].to_numpy(dtype=np.float64) for name in _BREATHS[:3])
    return inhale, exhale, end


def _is_course(breaths: pd.DataFrame) -> bool:
    """Whether a table holds rates estimated from the ECG, not breaths."""
    if not isinstance(breaths, pd.DataFrame):
        raise SignalError(f"breaths is a {type(breaths).__name__}: pass a DataFrame, {_SOURCE}")
    columns = breaths.columns
    course = [name for name in _COURSE if name not in columns]
    missing = [name for name in _BREATHS if name not in columns]
    if missing and course:
        raise SignalError(f"breaths lacks the columns {missing}: pass {_SOURCE}")
    return bool(missing)


def _valid(breaths: pd.DataFrame) -> pd.DataFrame:
    """Return the valid breaths in the order of time."""
    table = as_table(breaths, _BREATHS, "breaths", source=_SOURCE)
    kept = table[table["valid"]]
    return kept.sort_values("inhale_s", kind="stable")


def _from_course(
    course: pd.DataFrame,
    windows: ArrayLike | None,
    hf: tuple[float, float],
    minimum_s: float,
) -> pd.DataFrame:
    """Return the mean rate and the share in the band of rates estimated from the ECG."""
    course = as_table(course, _COURSE, "breaths", source=_SOURCE)
    onset, offset = (course[name].to_numpy(dtype=np.float64) for name in _COURSE[:2])
    valid = course["valid"].to_numpy(dtype=bool)
    rate = np.where(valid, course["rate"].to_numpy(dtype=np.float64), 0.0)
    bounds = as_windows(windows, (float(onset[0]), float(offset[-1])) if onset.size else (0.0, 0.0))
    first = np.searchsorted(onset, bounds[:, 0] - 1e-9, side="left")
    stop = np.searchsorted(offset, bounds[:, 1] + 1e-9, side="right")
    edges = np.column_stack([first, np.maximum(stop, first)])
    n = window_sums(valid.astype(np.float64), edges)
    length = bounds[:, 1] - bounds[:, 0]
    inside = valid & (rate >= 60 * hf[0]) & (rate <= 60 * hf[1])
    values = {
        "RSP_Rate": divide(window_sums(rate, edges), n),
        BAND_COLUMN: divide(window_sums(inside.astype(np.float64), edges), n),
    }
    least_s = max([minimum_s, *(offset - onset)[:1].tolist()])
    short = [f"{seconds:.0f} s, needs {least_s:g} s" for seconds in length]
    known = np.where(n > 0, divide(_united(onset[valid], offset[valid], bounds), length), 0.0)
    texts = [
        f"breathing known from the ECG in {100 * share:.0f} % of the window" for share in known
    ]
    reasons = Reasons(len(bounds))
    for column in values:
        reasons.withhold(column, length < least_s, short)
        reasons.withhold(column, known < _LEAST_SHARE, texts)
        reasons.flag(column, known < _FULL_SHARE, texts)
    return reasons.frame(values)


def _united(start: FloatArray, end: FloatArray, bounds: FloatArray) -> FloatArray:
    """Return the seconds of each window that stretches in time order, maybe overlapping, cover."""
    if start.size == 0:
        return np.zeros(len(bounds))
    reached = np.maximum.accumulate(end)
    begin = np.maximum(start, np.append(start[:1], reached[:-1]))
    return _covered(begin, reached, reached - begin, bounds)


def _limit(
    reasons: Reasons,
    columns: list[str],
    bounds: FloatArray,
    covered: FloatArray,
    minimum_s: float,
    recommended_s: float,
) -> None:
    """Withhold or flag the values of windows with too little breathing in them."""
    length = bounds[:, 1] - bounds[:, 0]
    share = divide(covered, length)
    scant = [f"{s:.0f} s of breathing, needs {minimum_s:g} s" for s in covered]
    short = [f"{s:.0f} s of breathing, {recommended_s:g} s recommended" for s in covered]
    sparse = [f"breathing known in {100 * s:.0f} % of the window" for s in share]
    for column in columns:
        reasons.withhold(column, covered == 0, "no breath in the window")
        reasons.withhold(column, covered + _EDGE_S < minimum_s, scant)
        reasons.withhold(column, share < _LEAST_SHARE, sparse)
        reasons.flag(column, covered + _EDGE_S < recommended_s, short)
        reasons.flag(column, share < _FULL_SHARE, sparse)


def _covered(
    start: FloatArray, end: FloatArray, amount: FloatArray, bounds: FloatArray
) -> FloatArray:
    """Return how much of ``amount``, spread evenly over each breath, lies in each window."""
    if start.size == 0:
        return np.zeros(len(bounds))
    done = np.cumsum(amount)
    knots = np.column_stack([start, end]).ravel()
    so_far = np.column_stack([done - amount, done]).ravel()
    at = np.interp(bounds, knots, so_far)
    inside: FloatArray = at[:, 1] - at[:, 0]
    return inside


def _in_band(
    start: FloatArray,
    end: FloatArray,
    bounds: FloatArray,
    hf: tuple[float, float],
    covered: FloatArray,
) -> FloatArray:
    """Return the share of the breathing time of each window in breaths inside the band."""
    low, high = float(hf[0]), float(hf[1])
    if not 0 < low < high:
        raise SignalError(f"hf is {hf}: pass the lower and the upper limit of the band in Hz")
    length = end - start
    inside = (length * low <= 1) & (length * high >= 1)
    share = divide(_covered(start, end, np.where(inside, length, 0.0), bounds), covered)
    return np.clip(share, 0.0, 1.0)
