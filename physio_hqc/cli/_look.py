"""What the parts of the screen share: their looks, large letters, bands, times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from physio_hqc.cli import _big
from physio_hqc.cli._lines import Line

# Reversed, so that bands remain bands where there are no colors.
ALARM, ALARM_EDGE = "bold red on bright_white reverse", "red"
CUFF, CUFF_EDGE = "bold cyan on black reverse", "cyan"
CARE = "bold yellow on black reverse"
OPEN = "bold green on black reverse"
ENTRY = "bold bright_white on black reverse"
GOOD, WARN, BAD = "green", "yellow", "bold red"
DIM = "bright_black"


@dataclass(frozen=True)
class Block:
    """A part of the screen: how many rows it needs and wants, and how it is drawn in so many."""

    least: int
    want: int
    draw: Callable[[int], list[Line]]


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any.

    Examples
    --------
    >>> clock(75.9), clock(3675)
    ('1:15', '1:01:15')
    """
    whole = int(min(max(seconds, 0), 359_999)) if math.isfinite(seconds) else 0
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def seconds_text(seconds: float) -> str:
    """A length of time in few characters."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def large_lines(text: str, width: int, rows: int, look: str, *, indent: int = 1) -> list[Line]:
    """The largest letters that fit."""
    big = _big.large(text) if rows >= _big.ROWS else ()
    if not big or len(big[0]) > width:
        big = _big.medium(text) if rows >= _big.HALF_ROWS else ()
    if not big or len(big[0]) > width or not _big.can_show(text):
        return [Line().add(" " * indent + text, f"bold {look}")]
    return [Line().add(" " * indent + row, look) for row in big]


def band(letters: Sequence[str], width: int, look: str, edge: str) -> list[Line]:
    """Large letters on a band over the full width, with half a row of room above and below."""
    inner = [Line().add(f"   {row}", look).fitted(width, look) for row in letters]
    return [Line().add("▄" * width, edge), *inner, Line().add("▀" * width, edge)]
