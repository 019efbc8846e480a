"""Statistics as a paper prints them: p, r, effect sizes, intervals, names of outcomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from physio_hqc.report._features import HEADLINES
from physio_hqc.report._format import DASH, number, signed

_SHORT: Final = {
    **{headline.feature: headline.name for headline in HEADLINES},
    "CUFF_MAP_Mean": "MAP, cuff",
    "CUFF_PP_Mean": "Pulse pressure, cuff",
    "CUFF_HR_Mean": "Heart rate, cuff",
    "CUFF_RPP_Mean": "Rate-pressure product, cuff",
    "BP_MAP_Mean": "MAP, continuous",
    "BP_PP_Mean": "Pulse pressure, continuous",
    "BP_RPP_Mean": "Rate-pressure product",
    "HRV_MeanNN": "Mean NN interval",
    "HRV_SDNN": "SDNN",
    "HRV_LnRMSSD": "ln RMSSD",
    "HRV_lnRMSSD": "ln RMSSD",
    "HRV_HF": "HF power",
}
_LONG: Final = {
    "CUFF_SBP_Mean": "systolic blood pressure (cuff)",
    "CUFF_DBP_Mean": "diastolic blood pressure (cuff)",
    "CUFF_MAP_Mean": "mean arterial pressure (cuff)",
    "CUFF_HR_Mean": "heart rate (cuff)",
    "CUFF_PP_Mean": "pulse pressure (cuff)",
    "CUFF_RPP_Mean": "the rate-pressure product (cuff)",
    "BP_SBP_Mean": "systolic blood pressure (continuous)",
    "BP_DBP_Mean": "diastolic blood pressure (continuous)",
    "BP_MAP_Mean": "mean arterial pressure (continuous)",
    "ECG_Rate_Mean": "heart rate",
    "HRV_RMSSD": "RMSSD",
    "HRV_LnHF": "ln HF power",
    "EDA_Tonic_Mean": "skin conductance level",
    "SCR_Rate": "the rate of skin conductance responses",
}


def outcome_name(feature: str) -> str:
    """Short name of an outcome for a panel or a row."""
    return _SHORT.get(feature, feature)


def outcome_words(feature: str) -> str:
    """Name of an outcome inside a sentence."""
    return _LONG.get(feature) or _SHORT.get(feature, feature)


def contrast_name(term: str, room: int, *, lines: int = 1) -> str:
    """Name of a contrast with a true minus; long names are cut on both sides alike.

    Examples
    --------
    >>> contrast_name("support - alone", 40), contrast_name("a very long name - alone", 17)
    ('support − alone', 'a very… − alone')
    """
    whole = term.replace(" - ", " − ")
    if len(whole) <= room:
        return whole
    first, sign, second = whole.partition(" − ")
    if not sign:
        return f"{whole[: room - 1]}…"
    side = room - 2 if lines > 1 else (room - 3) // 2
    parts = [part if len(part) <= side else f"{part[: side - 1]}…" for part in (first, second)]
    return (" −\n" if lines > 1 else " − ").join(parts)


def with_unit(text: str, unit: str) -> str:
    """Add the unit in brackets; a pure number has none.

    Examples
    --------
    >>> with_unit("Change", "mmHg"), with_unit("Change", "1")
    ('Change (mmHg)', 'Change')
    """
    return text if unit in ("", "1", "nan") else f"{text} ({unit})"


def quantity(value: float, unit: str, *, sign: bool = True) -> str:
    """Value and unit as a sentence has them; a pure number without unit.

    Examples
    --------
    >>> quantity(-8.44, "mmHg"), quantity(3.2, "1", sign=False)
    ('−8.4 mmHg', '3.20')
    """
    text = signed(value, unit) if sign else number(value, unit)
    return text if unit in ("", "1", "nan") or text == DASH else f"{text} {unit}"


def p_value(p: float, *, name: bool = False) -> str:
    """Exact to three decimals, without leading zero; with ``name`` as ``p = .012``.

    Examples
    --------
    >>> p_value(0.0123), p_value(0.0001), p_value(0.0001, name=True), p_value(0.9999)
    ('.012', '< .001', 'p < .001', '> .999')
    """
    if not math.isfinite(p):
        return f"p not available ({DASH})" if name else DASH
    if p < 0.001:
        return "p < .001" if name else "< .001"
    if p > 0.9994:
        return "p > .999" if name else "> .999"
    text = f"{p:.3f}"[1:]
    return f"p = {text}" if name else text


def coefficient(r: float, digits: int = 2) -> str:
    """A correlation, an alpha or another number that stays below one: no leading zero.

    Examples
    --------
    >>> coefficient(-0.304), coefficient(0.873), coefficient(1.0)
    ('−.30', '.87', '1.00')
    """
    if not math.isfinite(r):
        return DASH
    text = f"{abs(r):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if r < 0 and text.strip(".0") else text


def effect(g: float) -> str:
    """A standardized effect with two decimals; it can pass one and keeps its zero.

    Examples
    --------
    >>> effect(-1.117), effect(0.25)
    ('−1.12', '0.25')
    """
    if not math.isfinite(g):
        return DASH
    text = f"{abs(g):.2f}"
    return f"−{text}" if g < 0 and text.strip(".0") else text


def interval(low: float, high: float, unit: str = "") -> str:
    """A confidence interval in brackets; a dash where it is not known.

    Examples
    --------
    >>> interval(-12.06, -4.8, "mmHg")
    '[−12.1, −4.8]'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    if unit == "g":
        return f"[{effect(low)}, {effect(high)}]"
    return f"[{', '.join(alike((low, high), unit))}]"


def alike(values: Sequence[float], unit: str) -> list[str]:
    """Numbers that belong together, with the same decimals: those of the largest.

    Examples
    --------
    >>> alike((-0.431, 0.009), "µS"), alike((0.012, 0.0034), "µS")
    (['−0.43', '0.01'], ['0.012', '0.003'])
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    decimals = len(number(largest, unit).partition(".")[2])
    texts = [f"{abs(value):.{decimals}f}" if math.isfinite(value) else DASH for value in values]
    below = [
        value < 0 and bool(text.strip(".0")) for value, text in zip(values, texts, strict=True)
    ]
    return [f"−{text}" if less else text for text, less in zip(texts, below, strict=True)]


def statistic(name: str, df1: float, df2: float, value: float) -> str:
    """A test statistic with its degrees of freedom.

    Examples
    --------
    >>> statistic("F", 2, 84, 5.314), statistic("t", 1, 84, -2.5)
    ('F(2, 84) = 5.31', 't(84) = −2.50')
    """
    if not math.isfinite(value):
        return DASH
    known = [df for df in (df1, df2) if math.isfinite(df)]
    known = known[-1:] if name == "t" else known
    degrees = [f"{df:.0f}" if float(df).is_integer() else f"{df:.1f}" for df in known]
    inside = f"({', '.join(degrees)})" if degrees else ""
    return f"{name}{inside} = {effect(value)}"
