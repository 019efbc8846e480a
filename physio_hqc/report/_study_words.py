"""Statistics as a paper prints them: p, r, effect sizes, intervals, names of outcomes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Final

from physio_hqc.report._features import HEADLINES
from physio_hqc.report._format import DASH, number

_MOST_DECIMALS: Final = 8
_LONGEST_NOTE: Final = 160
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


def p_value(p: float, *, name: bool = False, alpha: float = 0.05) -> str:
    """Exact to three decimals, without leading zero; with ``name`` as ``p = .012``.

    Close to the level `alpha` more decimals are shown, so that the printed number stands on the
    side of the level on which p is.

    Examples
    --------
    >>> p_value(0.0123), p_value(0.0001), p_value(0.0001, name=True), p_value(0.9999)
    ('.012', '< .001', 'p < .001', '> .999')
    >>> p_value(0.0497), p_value(0.0503), p_value(0.05), p_value(0.0096, alpha=0.01)
    ('.0497', '.0503', '.050', '.0096')
    """
    if not math.isfinite(p):
        return f"p not available ({DASH})" if name else DASH
    if p < min(0.001, alpha):
        least = "< .001" if alpha >= 0.001 else f"< {alpha:f}".rstrip("0").replace(" 0.", " .")
        return f"p {least}" if name else least
    if p > 0.9994:
        return "p > .999" if name else "> .999"
    text = f"{p:.{_p_decimals(p, alpha)}f}"[1:]
    return f"p = {text}" if name else text


def _p_decimals(p: float, alpha: float) -> int:
    """Decimals that p needs to be told from the level of the test."""
    for decimals in range(3, _MOST_DECIMALS):
        shown = round(p, decimals)
        if (shown > alpha) == (p > alpha) and (shown < alpha) == (p < alpha):
            return decimals
    return _MOST_DECIMALS


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
    return f"[{', '.join(alike((low, high), unit))}]"


def estimate(value: float, low: float, high: float, unit: str = "", *, sign: bool = True) -> str:
    """An estimate with the decimals of its interval, or enough of its own where it has none.

    Examples
    --------
    >>> estimate(-8.44, -12.06, -4.8, "mmHg"), estimate(0.004, 0.001, 0.007, "mmHg")
    ('−8.4', '+0.0040')
    >>> estimate(0.004, math.nan, math.nan, "mmHg", sign=False)
    '0.0040'
    """
    if not math.isfinite(value):
        return DASH
    ends = (low, high) if math.isfinite(low) and math.isfinite(high) else (value,)
    text = _rounded(value, _decimals(ends, unit))
    return f"+{text}" if sign and value > 0 and text.strip(".0") else text


def alike(values: Sequence[float], unit: str) -> list[str]:
    """Numbers that belong together, with the same decimals: those of the largest, or more.

    The largest shows two significant digits, and none that is not zero looks like zero.

    Examples
    --------
    >>> alike((-0.431, 0.009), "µS"), alike((0.012, 0.0034), "µS")
    (['−0.43', '0.01'], ['0.012', '0.003'])
    >>> alike((0.001, 0.007), "mmHg"), alike((-12.06, -0.04), "mmHg")
    (['0.0010', '0.0070'], ['−12.06', '−0.04'])
    """
    decimals = _decimals(values, unit)
    return [_rounded(value, decimals) if math.isfinite(value) else DASH for value in values]


def _decimals(values: Sequence[float], unit: str) -> int:
    """Decimals for numbers that belong together."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return len(number(0.0, unit).partition(".")[2])
    usual = 2 if unit == "g" else len(number(max(sizes), unit).partition(".")[2])
    whole = unit in ("", "1") and usual == 0
    two_digits = 0 if whole else 1 - math.floor(math.log10(max(sizes)))
    decimals = max(usual, min(two_digits, _MOST_DECIMALS))
    for more in range(decimals, _MOST_DECIMALS):
        if all(round(size, more) for size in sizes):
            return more
    return decimals


def _rounded(value: float, decimals: int) -> str:
    """Round with a true minus sign, and none before a zero."""
    text = f"{abs(value):.{decimals}f}"
    return f"−{text}" if value < 0 and text.strip(".0") else text


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


def short_notes(notes: Iterable[str], most: int = 4) -> str:
    """The different reasons in notes, each once, no more than so many.

    Examples
    --------
    >>> short_notes(["not tested: a has 0 participants, needs 2; b has 0 participants, needs 2",
    ...              "not tested: b has 0 participants, needs 2"])
    'a has 0 participants, needs 2; b has 0 participants, needs 2'
    """
    parts = [part for note in notes for part in short_note(note).split("; ") if part]
    found = list(dict.fromkeys(parts))
    return "; ".join([*found[:most], *(["…"] if len(found) > most else [])])


def short_note(note: str) -> str:
    """Why something was not tested, without what else stands in the note of a row.

    Examples
    --------
    >>> short_note("not tested: alone has 1 participant, needs 2; support has 0 participants, "
    ...            "needs 2; left out: 3 without a value")
    'alone has 1 participant, needs 2; support has 0 participants, needs 2'
    """
    parts = note.removeprefix("not tested: ").split("; ")
    more = takewhile(lambda part: re.search(r", needs \d+$", part), parts[1:])
    text = "; ".join([parts[0], *more])
    return text if len(text) <= _LONGEST_NOTE else f"{text[: _LONGEST_NOTE - 1]}…"
