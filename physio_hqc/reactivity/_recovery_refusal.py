"""When a fitted recovery logistic is not to be believed, and the floors of reactivity."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physio_hqc.errors import SignalError

from ._logistic import N_PARAMETERS, LogisticFits

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# An amount this many times the reactivity is seen by no point: it is extrapolated to time 0.
_LARGE_AMOUNT = 2.0

# What is smaller is 0 in every unit in use, and a share of it overflows.
ZERO = 1e-12

# 3 mmHg and 3 bpm are the usual floors; the others are our choice, about as large as the change
# between two quiet minutes.
_FLOOR_BY_UNIT: Mapping[str, float] = {
    "mmHg": 3.0,
    "1/min": 3.0,
    "mmHg/min": 500.0,
    "ms/mmHg": 2.0,
    "ms": 3.0,
    "ln(ms)": 0.2,
    "ln(ms²)": 0.2,
    "µS": 0.1,
    "%": 5.0,
}
_FLOOR_BY_NAME = (
    (re.compile(r"^HRV_(Mean|Median|Min|Max)NN$"), 20.0),
    (re.compile(r"^(SCR_Rate|RSP_Rate)$"), 1.0),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fit has to reach."""

    min_points: int = 5
    max_error: float = 0.75
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if self.min_points <= N_PARAMETERS:
            raise SignalError(
                f"min_points is {self.min_points}: three parameters need at least 4 points"
            )
        if not self.max_error > 0:
            raise SignalError(f"max_error is {self.max_error}: pass a number above 0")
        if not 0 < self.alpha <= 1:
            raise SignalError(f"alpha is {self.alpha}: pass a number above 0, at most 1")


def floor_of(feature: str, unit: str, given: float | Mapping[str, float] | None) -> float:
    """Smallest reactivity of a feature that recovery is told from."""
    if given is not None and not isinstance(given, Mapping):
        return float(given)
    for name in (feature, unit):
        if given is not None and name in given:
            return float(given[name])
    for pattern, floor in _FLOOR_BY_NAME:
        if pattern.search(feature):
            return floor
    return _FLOOR_BY_UNIT.get(unit, 0.0)


def below_floor(reactivity: FloatArray, floor: FloatArray) -> BoolArray:
    """Whether a known reactivity is too small for recovery to be told from it."""
    size = np.abs(reactivity)
    small: BoolArray = (size < floor) | (size < ZERO)
    return small


def floor_text(reactivity: float, floor: float, unit: str) -> str:
    """Say that the reactivity is below the floor."""
    if floor <= ZERO:
        return "the task level is that of the baseline"
    unit = "" if unit == "1" else unit
    return f"reactivity {reactivity:.3g} {unit}".rstrip() + f" is below the floor of {floor:g}"


class RowTexts:
    """Texts about rows (reasons, cautions), in the order in which they were noted."""

    def __init__(self, m: int) -> None:
        self._texts: list[list[str]] = [[] for _ in range(m)]

    def add(self, where: BoolArray, text: str | Callable[[int], str]) -> None:
        """Note a text for every row where something holds."""
        for i in np.flatnonzero(where):
            self._texts[i].append(text if isinstance(text, str) else text(int(i)))

    def first(self) -> list[str]:
        """First text of every row, or ""."""
        return [texts[0] if texts else "" for texts in self._texts]

    def joined(self) -> list[str]:
        """All texts of every row; reasons before cautions."""
        return [
            "; ".join(sorted(dict.fromkeys(texts), key=lambda text: text.startswith("flag:")))
            for texts in self._texts
        ]


def refusals(
    fits: LogisticFits,
    *,
    last_min: FloatArray,
    reactivity: FloatArray,
    floor: FloatArray,
    units: Sequence[str],
    limits: Limits,
) -> list[str]:
    """Why each fit is refused, else a caution that begins with "flag:", else ""."""
    notes = RowTexts(len(fits.n))
    notes.add(fits.n < limits.min_points, lambda i: _count(int(fits.n[i]), limits.min_points))
    notes.add(np.isnan(reactivity), "no reactivity: task level or baseline is missing")
    notes.add(
        below_floor(reactivity, floor),
        lambda i: floor_text(float(reactivity[i]), float(floor[i]), units[i]),
    )
    _note_fit(fits, reactivity, floor, limits, notes)
    _note_identity(fits, last_min, limits, notes)
    known = np.abs(reactivity) >= ZERO
    larger = np.where(known, np.abs(fits.amount), 0.0) / np.where(known, np.abs(reactivity), 1.0)
    notes.add(larger > _LARGE_AMOUNT, lambda i: f"flag: amount is {larger[i]:.1f} x the reactivity")
    return notes.first()


def _note_fit(
    fits: LogisticFits, reactivity: FloatArray, floor: FloatArray, limits: Limits, notes: RowTexts
) -> None:
    """Curves that are none: flat, away from rest, or too small."""
    needed = _needed_r2(fits.n, limits.alpha)
    notes.add(np.isnan(fits.r2), "all values are the same")
    notes.add(
        fits.r2 < needed,
        lambda i: (
            f"no better than a constant level (R2 {fits.r2[i]:.2f}, "
            f"needs {needed[i]:.2f} with {fits.n[i]} points)"
        ),
    )
    notes.add(
        fits.amount * reactivity < 0,
        lambda i: f"the course moves away from rest (amount {fits.amount[i]:.3g})",
    )
    notes.add(
        np.abs(fits.amount) < floor,
        lambda i: f"amount {fits.amount[i]:.3g} is below the floor of {floor[i]:g}",
    )


def _note_identity(
    fits: LogisticFits, last_min: FloatArray, limits: Limits, notes: RowTexts
) -> None:
    """Curves whose speed or amount the points do not tell."""
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.log(3.0) / fits.speed
        speed_error = fits.speed_se / fits.speed
        amount_error = fits.amount_se / np.abs(fits.amount)
    slow = fits.at_bound & (half > 1.0)
    notes.add(slow, "speed at its lower bound: no end of the recovery in sight")
    notes.add(fits.at_bound & ~slow, "speed at its upper bound: over before the first points")
    notes.add(
        half > last_min,
        lambda i: f"half time {half[i]:.1f} min is longer than the course ({last_min[i]:.1f} min)",
    )
    for name, error in (("speed", speed_error), ("amount", amount_error)):
        texts = [f"{name} not identified (standard error {_share(e)} of it)" for e in error]
        notes.add(~(error <= limits.max_error), texts.__getitem__)


def _needed_r2(n: NDArray[np.int64], alpha: float) -> FloatArray:
    """R2 above which the curve beats a constant level: F with 2 and n - 3 degrees of freedom."""
    # With 2 in the numerator P(F > f) is (1 + 2 f / v) ** (-v / 2), which is (1 - R2) ** (v / 2).
    freedom = np.maximum(n - N_PARAMETERS, 1)
    needed: FloatArray = 1.0 - alpha ** (2.0 / freedom)
    return needed


def _count(n: int, needed: int) -> str:
    return f"{n} point{'' if n == 1 else 's'}, needs {needed}"


def _share(error: float) -> str:
    return f"{100 * error:.0f} %" if error < 10 else "more than 1000 %"
