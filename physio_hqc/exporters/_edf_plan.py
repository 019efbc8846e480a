"""One record duration for signals of several rates: EDF counts whole samples per record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LARGE_DENOMINATOR: Final = 100_000
_SAME: Final = 1e-9
_RECORD_SAMPLES: Final = 30_720  # the format asks for records of at most 61,440 bytes
_FEW: Final = 1 / 5000
"""Free points per grid point that nobody needs to reduce further."""


@dataclass(frozen=True)
class RecordPlan:
    """Duration of a record in s (8 characters at most), and samples in it of each signal."""

    duration: float
    counts: tuple[int, ...]

    def rates(self) -> tuple[float, ...]:
        """Rates in Hz that a reader of the file computes."""
        return tuple(count / self.duration for count in self.counts)


def plan_records(rates: Sequence[float], length_s: float) -> RecordPlan:
    """Choose the record duration: no signal slower than asked for, as little faster as can be.

    Parameters
    ----------
    rates : sequence of float
        Lowest rate of each signal, in Hz.
    length_s : float
        Length of the recording.

    Returns
    -------
    RecordPlan

    Examples
    --------
    >>> plan_records([250.0, 100.0, 32.0, 0.2], 60.0)
    RecordPlan(duration=5.0, counts=(1250, 500, 160, 1))
    >>> plan_records([250.00625], 60.0).rates()[0] / 250.00625 - 1 < 1 / 5000
    True
    """
    asked = np.asarray(rates, dtype=np.float64)
    exact = _exact_duration(asked)
    if exact is not None:
        return _plan(exact, asked)
    shortest = min(1.0, length_s)
    slowest = float(1 / asked.min())
    longest = max(_RECORD_SAMPLES / float(asked.sum()), 10.0, 1.5 * slowest)
    longest = min(longest, max(length_s, 1.0, 1.5 * slowest), 3600.0)
    return _best(asked, shortest, longest)


def _exact_duration(asked: NDArray[np.float64]) -> float | None:
    """Shortest duration from a second on in which all rates have whole numbers of samples."""
    fractions = [Fraction(rate).limit_denominator(_LARGE_DENOMINATOR) for rate in asked.tolist()]
    if any(abs(float(f) / r - 1) > _SAME for f, r in zip(fractions, asked.tolist(), strict=True)):
        return None
    step = Fraction(
        math.lcm(*(f.denominator for f in fractions)), math.gcd(*(f.numerator for f in fractions))
    )
    first = max(1, math.ceil(1 / step))
    fitting = []
    for times in range(first, first + 2000):
        duration = times * step
        if duration > 3600 or duration * int(asked.sum()) > 4_000_000:
            break
        if _fits(duration):
            fitting.append(duration)
    # Multiples of a power of two add up without rounding: so do the times of the records.
    binary = [d for d in fitting if d.denominator & (d.denominator - 1) == 0]
    return float((binary or fitting)[0]) if fitting else None


def _fits(duration: Fraction) -> bool:
    """Whether eight characters write it without loss."""
    text = repr(float(duration)).removesuffix(".0")
    return len(text) <= 8 and "e" not in text and Fraction(Decimal(text)) == duration


def _best(asked: NDArray[np.float64], shortest: float, longest: float) -> RecordPlan:
    """Of the durations that eight characters hold take one with few free points, or the fewest."""
    parts = [
        np.arange(math.ceil(max(shortest, low) * per_s), math.floor(min(longest, high) * per_s) + 1)
        / per_s
        for low, high, per_s in ((0, 10, 64), (10, 100, 32), (100, 1000, 16), (1000, 3601, 8))
        if low <= longest
    ]
    durations = np.unique(np.concatenate([*parts, [math.ceil(longest)]]))
    durations = durations[durations > 0]
    worst = np.zeros(durations.size)
    for rate in np.unique(asked):
        exact = rate * durations
        worst = np.maximum(worst, np.ceil(exact * (1 - _SAME)) / exact - 1)
    good = np.flatnonzero(worst <= _FEW)
    return _plan(float(durations[good[0] if good.size else np.argmin(worst)]), asked)


def _plan(duration: float, asked: NDArray[np.float64]) -> RecordPlan:
    counts = np.ceil(asked * duration * (1 - _SAME)).astype(np.int64)
    return RecordPlan(duration, tuple(int(count) for count in counts))
