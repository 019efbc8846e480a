"""What all parts need: figures with their Monte Carlo error, and the verdict on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

REACHED, WITHIN, MISSED = "reached", "within MC error", "MISSED"
# A rate is missed only where it lies outside its band by more than so many standard errors.
_ERRORS = 2.0


@dataclass(frozen=True)
class Figure:
    """One figure, what it is to be, and the verdict.

    Attributes
    ----------
    scenario, name, errors : str
        What was simulated; what was counted; kind of standard errors ("" where there is none).
    value, se : float
        The figure and its Monte Carlo standard error.
    low, high : float
        Band that it is to lie in.
    judged : bool
        Whether missing the band fails the validation; the others are shown for comparison.
    """

    scenario: str
    name: str
    errors: str
    value: float
    se: float
    low: float
    high: float
    judged: bool = True

    @property
    def verdict(self) -> str:
        """Whether the figure lies in its band, or as near as its own error explains."""
        if not np.isfinite(self.value):
            return MISSED
        if self.low <= self.value <= self.high:
            return REACHED
        near = self.low - _ERRORS * self.se <= self.value <= self.high + _ERRORS * self.se
        return WITHIN if near else MISSED

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        numbers = asdict(self)
        return {**numbers, "verdict": self.verdict if self.judged else ""}


@dataclass
class Outcome:
    """What one part found: figures, tables for the screen, and what is to be said about them."""

    name: str
    n: int
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def missed(self) -> list[Figure]:
        """Figures that lie outside their band."""
        return [figure for figure in self.figures if figure.judged and figure.verdict == MISSED]

    @property
    def ok(self) -> bool:
        """Whether nothing was missed, and anything was judged."""
        return any(figure.judged for figure in self.figures) and not self.missed


@dataclass
class Table:
    """Rows for the screen."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


def rate(
    hits: np.ndarray[Any, np.dtype[Any]], expected: float | None = None
) -> tuple[float, float]:
    """Return the share of hits and its standard error (at the expected share, where one is)."""
    n = len(hits)
    share = float(np.mean(hits)) if n else float("nan")
    at = share if expected is None else expected
    return share, float(np.sqrt(max(at * (1 - at), 1e-12) / n)) if n else float("nan")


def worst(figures: list[Figure]) -> str:
    """Return the verdict on several figures: the worst of them, "" where none is judged."""
    found = {figure.verdict for figure in figures if figure.judged}
    return next((word for word in (MISSED, WITHIN, REACHED) if word in found), "")
