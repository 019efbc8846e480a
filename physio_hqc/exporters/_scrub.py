"""What must not stay in any text of a session: its ids, serial numbers and dates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from physio_hqc.exporters._vocabulary import is_known

_SHORT = 3
_LONG_NUMBER = 6
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-./_ ]?(?:0[1-9]|1[0-2])[-./_ ]?(?:0[1-9]|[12]\d|3[01])"
    r"|(?:[0-3]?\d)[-./ ](?:[0-3]?\d)[-./ ](?:(?:19|20)?\d\d))(?!\d)"
    r"|\d{1,2}[-. ]?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[-. ]?\d{2,4}",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:[0-9A-F]{2}[:-]){3,}[0-9A-F]{2}|[^\s@]+@[^\s@]+|[\w.-]*[/\\][\w.-]+[/\\]", re.IGNORECASE
)
_SERIAL = re.compile(r"(?=\w*\d)\w{6,}|\d{5,}")


class Sensitive:
    """Texts that identify somebody, and whether another text holds one of them."""

    def __init__(self, texts: Iterable[str]) -> None:
        small = {text.strip().casefold() for text in texts}
        # An id such as "support" cannot be told from the word.
        found = {text for text in small if len(text) > 1 and not _is_word(text)}
        self._all = _pattern(found)
        self._told = _pattern({text for text in found if not _is_count(text)})

    def is_in(self, text: str) -> bool:
        """Whether a text holds an id, or a date."""
        return bool(_DATE.search(text)) or bool(self._all.search(text.casefold()))

    def is_told_in(self, text: str) -> bool:
        """Whether a text that processing wrote, full of counts, holds an id or a date.

        An id such as 253 cannot be told from a count, and processing writes no such id.
        """
        return bool(_DATE.search(text)) or bool(self._told.search(text.casefold()))

    def is_plain(self, text: str) -> bool:
        """Whether a maker's text, such as a model or firmware, holds nothing of one device."""
        bare = text.strip()
        return (
            0 < len(bare) <= 64
            and bare.isprintable()
            and not self.is_in(bare)
            and "'" not in bare
            and not _ADDRESS.search(bare)
            and not _SERIAL.search(bare)
        )


def texts_within(value: Any) -> list[str]:
    """All texts in plain data, with the numbers, which may be serial numbers."""
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in texts_within(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts_within(item)]
    if isinstance(value, bool) or value is None:
        return []
    return [str(value)]


def _pattern(texts: set[str]) -> re.Pattern[str]:
    """Long texts are found anywhere, short ones as words."""
    long = sorted(text for text in texts if len(text) > _SHORT)
    short = sorted(texts - set(long))
    parts = [re.escape(text) for text in long]
    parts += [rf"(?<![^\W_]){re.escape(text)}(?![^\W_])" for text in short]
    return re.compile("|".join(parts) or r"(?!)")


def _is_count(text: str) -> bool:
    return text.isdigit() and len(text) < _LONG_NUMBER


def _is_word(text: str) -> bool:
    return is_known(text) and not any(sign.isdigit() for sign in text)
