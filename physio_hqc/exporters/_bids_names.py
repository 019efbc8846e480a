"""Labels of a BIDS data set: letters and digits only, and never two ids under one label."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_LONGEST: Final = 32
_PLAIN: Final = re.compile(rf"[0-9A-Za-z]{{1,{_LONGEST}}}")


def letters(text: str) -> str:
    """Return the letters and digits of a text, without accents.

    Examples
    --------
    >>> letters("P-01 ä")
    'P01a'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^0-9A-Za-z]", "", plain)[:_LONGEST]


def labels_for(text: str) -> Iterator[str]:
    """Yield what an id may be called, the nicest label first.

    An id of letters and digits is its own label. Any other one carries a mark that is computed
    from the whole id, so that it does not depend on which ids came before it.

    Examples
    --------
    >>> next(labels_for("P01")), next(labels_for("P-01"))
    ('P01', 'P01x6bd01239')
    """
    if _PLAIN.fullmatch(text):
        yield text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    for length in (8, 16, 64):
        yield f"{letters(text)}x{mark[:length]}"


def free_label(text: str, taken: set[str]) -> str:
    """Return the first label of a text that no other one has, whatever its case.

    Parameters
    ----------
    text : str
    taken : set of str
        Labels of others, case-folded; file systems may not tell case.

    Examples
    --------
    >>> free_label("p01", {"p01"})
    'p01x6617ecaa'
    """
    for label in labels_for(text):
        if label.casefold() not in taken:
            return label
    raise AssertionError("two texts share a SHA-256")


def distinct_labels(texts: list[str]) -> list[str]:
    """Return a label for each of several names; those that are labels already keep theirs.

    Examples
    --------
    >>> distinct_labels(["ecg_2", "ecg2", "eda"])
    ['ecg2xee2c3270', 'ecg2', 'eda']
    """
    given: dict[int, str] = {}
    taken: set[str] = set()
    plain_first = sorted(range(len(texts)), key=lambda k: _PLAIN.fullmatch(texts[k]) is None)
    for k in plain_first:
        nice = letters(texts[k])
        fits = nice and nice.casefold() not in taken
        given[k] = nice if fits else free_label(texts[k], taken)
        taken.add(given[k].casefold())
    return [given[k] for k in range(len(texts))]
