"""Good, fair or poor: how the quality of a stream is put into one word."""

from __future__ import annotations

import math
from typing import Any, Final

GOOD_USABLE: Final = 0.95
FAIR_USABLE: Final = 0.80
GOOD_QUALITY: Final = 0.80
FAIR_QUALITY: Final = 0.50
GOOD_CORRECTED: Final = 0.05
FAIR_CORRECTED: Final = 0.20

RULE: Final = (
    "good: at least 95 % usable, quality at least 0.8 and at most 5 % of beats corrected; "
    "fair: at least 80 % usable, quality at least 0.5 and at most 20 % corrected; else poor"
)


def verdict(usable: float, quality: float = math.nan, corrected: float = math.nan) -> str:
    """Judge a stream from the usable share, its quality and the share of corrected beats.

    The limits for corrected beats are the convention of the field: flag above 5 percent, withhold
    above 20 percent. What is not known (NaN) is left out; where neither usable share nor quality
    is known there is no verdict.

    Examples
    --------
    >>> verdict(0.99, corrected=0.01), verdict(0.99, corrected=0.08), verdict(0.5)
    ('good', 'fair', 'poor')
    """
    levels = []
    if math.isfinite(usable):
        levels.append(_level(usable, GOOD_USABLE, FAIR_USABLE))
    if math.isfinite(quality):
        levels.append(_level(quality, GOOD_QUALITY, FAIR_QUALITY))
    if not levels:
        return "not checked"
    if math.isfinite(corrected):
        levels.append(_level(-corrected, -GOOD_CORRECTED, -FAIR_CORRECTED))
    return ("good", "fair", "poor")[max(levels)]


def window_verdict(row: Any) -> str:
    """Judge a row of the quality table."""
    return verdict(row.usable_share, row.quality, row.corrected_share)


def worst(verdicts: list[str]) -> str:
    """Pick the worst of several verdicts; those that were not checked do not count."""
    for word in ("poor", "fair", "good"):
        if word in verdicts:
            return word
    return "not checked"


def _level(value: float, good: float, fair: float) -> int:
    if value >= good:
        return 0
    return 1 if value >= fair else 2
