"""Numbers, durations and untrusted text as a reader sees them."""

from __future__ import annotations

import html
import math
from datetime import UTC, datetime, timedelta

DASH = "–"
_DECIMALS = {
    "ms": 1,
    "mmHg": 1,
    "1/min": 1,
    "%": 1,
    "µS": 2,
    "s": 2,
    "ms/mmHg": 1,
    "Hz": 3,
    "ms²": 0,
    "ln(ms²)": 2,
    "ln(ms)": 2,
    "µS/min": 2,
    "mmHg/min": 0,
}
# Of these, values near zero are worth more digits: small responses, short times.
_FINE = ("µS", "s", "µS/min")


def esc(text: object) -> str:
    """Escape for HTML text and attributes; control characters become spaces."""
    clean = "".join(c if c.isprintable() else " " for c in str(text))
    return html.escape(clean, quote=True)


def number(value: float, unit: str = "") -> str:
    """Round a value as its unit suggests; a dash for NaN.

    Examples
    --------
    >>> number(45.3995, "ms"), number(1234.5, "ms²"), number(0.0123, "µS"), number(3.0, "1")
    ('45.4', '1234', '0.012', '3')
    """
    if not math.isfinite(value):
        return DASH
    decimals = _DECIMALS.get(unit)
    if decimals is None:
        if float(value).is_integer() and abs(value) < 1e6:
            return _minus(f"{value:.0f}")
        decimals = _significant(value, 3)
    elif unit in _FINE and value and abs(value) < 10.0**-decimals * 5:
        decimals = _significant(value, 2)
    return _minus(f"{value:.{decimals}f}")


def signed(value: float, unit: str = "") -> str:
    """Round as `number` does, with the sign always shown.

    Examples
    --------
    >>> signed(3.25, "mmHg"), signed(-3.25, "mmHg"), signed(0.0, "mmHg")
    ('+3.2', '−3.2', '0.0')
    """
    text = number(value, unit)
    is_zero = not text.strip("0.")
    return f"+{text}" if math.isfinite(value) and value > 0 and not is_zero else text


def percent(share: float) -> str:
    """Format a share from 0 to 1 in percent; 100 % only if it is all."""
    if not math.isfinite(share):
        return DASH
    value = 100 * share
    if 99.5 <= value < 100:
        return f"{math.floor(value * 10) / 10:.1f} %"
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def clock(seconds: float) -> str:
    """Format a length of time.

    Examples
    --------
    >>> clock(42.35), clock(125), clock(7322)
    ('42.4 s', '2 min 5 s', '2 h 2 min')
    """
    if not math.isfinite(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def position(seconds: float) -> str:
    """Format a time since the session's start as m:ss or h:mm:ss."""
    whole = round(seconds)
    sign, whole = ("−" if whole < 0 else ""), abs(whole)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    if hours:
        return f"{sign}{hours}:{minutes:02d}:{second:02d}"
    return f"{sign}{minutes}:{second:02d}"


def wall_clock(unix_ns: int) -> str:
    """Format a Unix time in nanoseconds as UTC; a dash if it is beyond the calendar."""
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=unix_ns // 1000)
    except OverflowError:
        return DASH
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def plural(count: int, one: str, many: str = "") -> str:
    """Format a count with its noun: ``1 gap``, ``2 gaps``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}".replace(",", " ")


def listed(words: list[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _significant(value: float, digits: int) -> int:
    """Decimals that show this many significant digits."""
    if value == 0:
        return digits - 1
    return min(8, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def _minus(text: str) -> str:
    """Write a true minus sign, and none before a zero."""
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.") else f"−{text[1:]}"
    return text
