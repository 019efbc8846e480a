"""How much data each heart-rate-variability index needs: one table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

from physio_hqc.errors import SignalError
from physio_hqc.features._hrv_series import Series
from physio_hqc.features._windows import Reasons

_EDGE_S = 2.0
_FLAG_COVERED = 0.8
_MANY = 1e9


class Gate(NamedTuple):
    """What an index needs: usable seconds and intervals, as recommended and at the least.

    Below the least the value is NaN; below the recommended it carries a flag.
    """

    recommended_s: float
    minimum_s: float
    recommended_n: int = 0
    minimum_n: int = 2


_LEVEL = Gate(30, 10)
_SHORT_TERM = Gate(60, 30, minimum_n=3)
_SPREAD = Gate(120, 60, minimum_n=3)
_SLOW = Gate(240, 120, minimum_n=3)
_LONG = Gate(1200, 1200)

# After the Task Force (1996), Laborde et al. (2017) and the studies of ultra-short recordings.
GATES: dict[str, Gate] = {
    "ECG_Rate_Mean": _LEVEL,
    "HRV_MeanNN": _LEVEL,
    "HRV_MedianNN": _LEVEL,
    "HRV_MinNN": _LEVEL,
    "HRV_MaxNN": _LEVEL,
    "HRV_RMSSD": _SHORT_TERM,
    "HRV_lnRMSSD": _SHORT_TERM,
    "HRV_SDSD": _SHORT_TERM,
    "HRV_pNN50": _SHORT_TERM,
    "HRV_pNN20": _SHORT_TERM,
    "HRV_SDNN": _SPREAD,
    "HRV_CVNN": _SPREAD,
    "HRV_MadNN": _SPREAD,
    "HRV_IQRNN": _SPREAD,
    "HRV_HTI": _LONG,
    "HRV_TINN": _LONG,
    "HRV_VLF": _LONG,
    "HRV_LF": _SLOW,
    "HRV_HF": _SPREAD,
    "HRV_TP": _SLOW,
    "HRV_LFHF": _SLOW,
    "HRV_LFn": _SLOW,
    "HRV_HFn": _SLOW,
    "HRV_LFnu": _SLOW,
    "HRV_HFnu": _SLOW,
    "HRV_LnHF": _SPREAD,
    "HRV_SD1": _SHORT_TERM,
    "HRV_SD2": _SPREAD,
    "HRV_SD1SD2": _SPREAD,
    "HRV_S": _SPREAD,
    "HRV_SampEn": Gate(240, 120, recommended_n=200, minimum_n=100),
    "HRV_ApEn": Gate(240, 120, recommended_n=200, minimum_n=100),
    "HRV_DFA_alpha1": Gate(240, 240, recommended_n=300, minimum_n=200),
    "HRV_DFA_alpha2": Gate(600, 240, recommended_n=600, minimum_n=256),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a window must offer so that its values are given, and given without a flag.

    Attributes
    ----------
    gates : dict
        Column name to the seconds and intervals it needs.
    max_corrected, flag_corrected : float
        Share of corrected beats above which values are withheld, or flagged.
    """

    gates: Mapping[str, Gate]
    max_corrected: float
    flag_corrected: float


def limits_of(
    gates: Mapping[str, Sequence[float]] | None, max_corrected: float, flag_corrected: float
) -> Limits:
    """Return the caller's limits, checked."""
    for name, share in (("max_corrected", max_corrected), ("flag_corrected", flag_corrected)):
        if not is_between(share, 0.0, 1.0):
            raise SignalError(f"{name} is {share!r}: pass a share from 0 to 1")
    return Limits(_resolved(gates), max_corrected, flag_corrected)


def is_between(value: object, low: float, high: float) -> bool:
    """Tell whether a value is a number from low to high."""
    return isinstance(value, Real) and low <= float(value) <= high


def _resolved(gates: Mapping[str, Sequence[float]] | None) -> dict[str, Gate]:
    """Return the table with the caller's entries put over it, checked."""
    table = dict(GATES)
    if gates is not None and not isinstance(gates, Mapping):
        raise SignalError(f"gates is {gates!r}: pass a mapping of column names to limits")
    for column, entry in (gates or {}).items():
        if column not in table:
            raise SignalError(f"gates names {column!r}, which is no HRV column: see GATES")
        values = tuple(entry) if isinstance(entry, Iterable) else ()
        if not 2 <= len(values) <= 4 or not all(is_between(x, 0.0, np.inf) for x in values):
            raise SignalError(
                f"gates[{column!r}] is {entry!r}: pass recommended and minimum seconds and, if "
                "wanted, recommended and minimum number of intervals"
            )
        seconds, counts = values[:2], [math.ceil(min(value, _MANY)) for value in values[2:]]
        table[column] = Gate(float(seconds[0]), float(seconds[1]), *counts)
    return table


def apply_limits(reasons: Reasons, columns: Sequence[str], series: Series, limits: Limits) -> None:
    """Withhold or flag the values of windows with too little or too much corrected data."""
    covered = series.usable_s / np.maximum(series.length_s, 1e-9)
    too_many = series.corrected_share > limits.max_corrected
    many = series.corrected_share > limits.flag_corrected
    seconds = [f"{value:.0f} s" for value in series.usable_s]
    percent = [f"{100 * value:.0f} % of beats corrected" for value in series.corrected_share]
    refused = [f"{text}, at most {100 * limits.max_corrected:g} %" for text in percent]
    sparse = [f"{100 * value:.0f} % of the window usable" for value in covered]
    for column in columns:
        gate = limits.gates[column]
        too_short = series.usable_s + _EDGE_S < gate.minimum_s
        short = series.usable_s + _EDGE_S < gate.recommended_s
        reasons.withhold(column, series.n == 0, "no beat interval in the window")
        if too_short.any():
            texts = [f"{text} usable, needs {gate.minimum_s:g} s" for text in seconds]
            reasons.withhold(column, too_short, texts)
        if (series.n < gate.minimum_n).any():
            texts = [f"{n} intervals, needs {gate.minimum_n}" for n in series.n]
            reasons.withhold(column, series.n < gate.minimum_n, texts)
        reasons.withhold(column, too_many, refused)
        if short.any():
            texts = [f"{text}, {gate.recommended_s:g} s recommended" for text in seconds]
            reasons.flag(column, short, texts)
        if (series.n < gate.recommended_n).any():
            texts = [f"{n} intervals, {gate.recommended_n} recommended" for n in series.n]
            reasons.flag(column, series.n < gate.recommended_n, texts)
        reasons.flag(column, many, percent)
        reasons.flag(column, covered < _FLAG_COVERED, sparse)


def enough(series: Series, gate: Gate) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which windows pass the least that an index needs."""
    passed: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        series.usable_s + _EDGE_S >= gate.minimum_s
    ) & (series.n >= max(gate.minimum_n, 2))
    return passed
