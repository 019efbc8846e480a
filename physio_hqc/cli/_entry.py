"""Entries that the experimenter types while a session runs: one line, and what it means."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace

from physio_hqc.protocol import RatingScale

MAX_TEXT = 200

_CUFF = re.compile(r"(\d{2,3})(?:\s*/\s*|\s+)(\d{2,3})(?:\s*/\s*(\d{2,3}))?(?:[\s,;]+(\d{2,3}))?")
_LIMITS = {"systolic": (50, 300), "diastolic": (20, 200), "pulse": (25, 250)}


@dataclass(frozen=True)
class EntryState:
    """What the bottom of the screen asks, and what has been typed.

    Attributes
    ----------
    prompt, hint, error : str
        The question, how to answer it, and why the last answer was refused.
    text : str
    cursor : int
        Position in `text`.
    choices : tuple of str
        What the keys 1, 2, ... choose while nothing is typed.
    is_line : bool
        Whether text is typed; False for a question that one key answers.
    """

    prompt: str
    hint: str = ""
    error: str = ""
    text: str = ""
    cursor: int = 0
    choices: tuple[str, ...] = ()
    is_line: bool = True


def edited(entry: EntryState, key: str, data: str) -> EntryState:
    """The line after a key, by prompt_toolkit's names of keys; other keys leave it as it is.

    Examples
    --------
    >>> line = edited(EntryState("note"), "h", "h")
    >>> edited(line, "i", "i").text
    'hi'
    """
    text, at = entry.text, entry.cursor
    before, after = text[:at], text[at:]
    if key in ("backspace", "c-h"):
        before = before[:-1]
    elif key in ("delete", "c-d"):
        after = after[1:]
    elif key in ("left", "c-b"):
        before, after = before[:-1], before[-1:] + after
    elif key in ("right", "c-f"):
        before, after = before + after[:1], after[1:]
    elif key in ("home", "c-a"):
        before, after = "", text
    elif key in ("end", "c-e"):
        before, after = text, ""
    elif key == "c-u":
        before = ""
    elif key == "c-k":
        after = ""
    elif key == "c-w":
        before = re.sub(r"\S*\s*$", "", before)
    elif len(key) == 1 or key == "<bracketed-paste>":
        before = (before + _printable(data))[: max(MAX_TEXT - len(after), 0)]
    else:
        return entry
    return replace(entry, text=before + after, cursor=len(before), error="")


@dataclass(frozen=True)
class CuffText:
    """A cuff reading as typed, mmHg and 1/min."""

    sbp: float
    dbp: float
    map_: float | None = None
    hr: float | None = None


def parse_cuff(text: str) -> CuffText:
    """Read a cuff reading: ``128/82``, ``128/82 71`` (pulse), ``128/82/97 71`` (mean pressure).

    Raises
    ------
    ValueError
        When it is none, or no reading of a living person; the message says why.

    Examples
    --------
    >>> parse_cuff("128/82 71")
    CuffText(sbp=128.0, dbp=82.0, map_=None, hr=71.0)
    >>> parse_cuff("82/128")
    Traceback (most recent call last):
    ...
    ValueError: diastolic 128 is not below systolic 82
    """
    found = _CUFF.fullmatch(text.strip())
    if not found or not text.isascii():
        raise ValueError("type it like 128/82 71 (the pulse may be left out), or 128/82/97 71")
    sbp, dbp, map_, hr = (float(part) if part else None for part in found.groups())
    if sbp is None or dbp is None:
        raise ValueError("systolic and diastolic pressure are needed")
    _within("systolic", sbp, "mmHg")
    _within("diastolic", dbp, "mmHg")
    if dbp >= sbp:
        raise ValueError(f"diastolic {dbp:.0f} is not below systolic {sbp:.0f}")
    if map_ is not None and not dbp < map_ < sbp:
        raise ValueError(
            f"mean pressure {map_:.0f} is not between {dbp:.0f} and {sbp:.0f}; "
            f"a pulse comes after a space"
        )
    if hr is not None:
        _within("pulse", hr, "/min")
    return CuffText(sbp, dbp, map_, hr)


def parse_rating(text: str, scale: RatingScale | None) -> float:
    """Read a rating.

    Raises
    ------
    ValueError
        When it is no number or not on the scale.

    Examples
    --------
    >>> parse_rating("5,5", RatingScale(name="stress", min=1.0, max=7.0))
    5.5
    """
    word = text.strip().replace(",", ".")
    if not re.fullmatch(r"[+-]?\d{1,9}(\.\d{0,9})?", word) or not word.isascii():
        raise ValueError("type a number")
    value = float(word)
    if scale is not None and not scale.min <= value <= scale.max:
        raise ValueError(f"{value:g} is not on the scale from {scale.min:g} to {scale.max:g}")
    return value if math.isfinite(value) else math.nan


def describe_scale(name: str, scale: RatingScale | None) -> tuple[str, str]:
    """The question of a rating scale, and its range with the words at its values."""
    if scale is None:
        return name, "a number"
    anchors = ", ".join(f"{value} = {word}" for value, word in sorted(scale.anchors.items()))
    span = f"{scale.min:g} to {scale.max:g}"
    return (
        f"{name}: {scale.label}" if scale.label else name,
        f"{span} ({anchors})" if anchors else span,
    )


def _within(what: str, value: float, unit: str) -> None:
    """Refuse what no cuff would show of a living person."""
    low, high = _LIMITS[what]
    if not low <= value <= high:
        raise ValueError(f"{what} {value:.0f} {unit} cannot be: {low} to {high} are possible")


def _printable(data: str) -> str:
    """Typed text without control characters; line ends and tabs become spaces."""
    spaced = re.sub(r"\s", " ", data)
    return "".join(c for c in spaced if unicodedata.category(c)[0] != "C")
