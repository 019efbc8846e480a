"""A curve out of braille dots: two columns and four rows of dots in every character."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Unicode's order of the dots in a braille character, rows by columns.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)
_BRAILLE = 0x2800


def limits(values: Floats) -> tuple[float, float] | None:
    """Range to draw: nearly all of it, so that a single artefact does not flatten the rest."""
    present = values[np.isfinite(values)]
    if not present.size:
        return None
    low, high = np.percentile(present, [0.3, 99.8])
    return float(low), float(high)


def curve(values: Floats, width: int, rows: int) -> list[str]:
    """Draw values evenly spread over the width; nothing where they are missing.

    Parameters
    ----------
    values : ndarray, shape (n,)
    width, rows : int
        In characters.

    Returns
    -------
    list of str
        `rows` strings of `width` characters.

    Examples
    --------
    >>> curve(np.array([0.0, 1.0]), 1, 1)
    ['⡸']
    """
    if width < 1 or rows < 1:
        return [""] * max(rows, 0)
    found = limits(values)
    if found is None:
        return [" " * width] * rows
    low, high = found
    level = _levels(np.clip(values, low, high), low, high, 4 * rows)
    top, bottom = _columns(level, 2 * width)
    row = np.arange(4 * rows)[:, None]
    dots = (row >= top) & (row <= bottom)
    cells = dots.reshape(rows, 4, width, 2).astype(np.uint32)
    codes = _BRAILLE + np.einsum("rywx,yx->rw", cells, _BITS)
    return ["".join(map(chr, line)).replace(chr(_BRAILLE), " ") for line in codes.tolist()]


def _levels(values: Floats, low: float, high: float, n: int) -> Floats:
    """Rows of dots, 0 at the top; a flat line runs through the middle."""
    if high - low <= 0:
        return np.where(np.isfinite(values), n // 2, np.nan)
    return np.asarray(np.round((high - values) / (high - low) * (n - 1)))


def _columns(level: Floats, n: int) -> tuple[Floats, Floats]:
    """Highest and lowest dot of every column, joined to the column before."""
    if level.size <= n:
        picked = level[(np.arange(n) * level.size) // n]
        top, bottom = picked, picked
    else:
        edges = (np.arange(n + 1) * level.size) // n
        top = np.fmin.reduceat(level, edges[:-1])
        bottom = np.fmax.reduceat(level, edges[:-1])
    # A steep wave leaves no holes: each column reaches to where the one before ended.
    before_top, before_bottom = np.roll(top, 1), np.roll(bottom, 1)
    before_top[0] = before_bottom[0] = np.nan
    joined_top = np.where(before_bottom < top, before_bottom + 1, top)
    joined_bottom = np.where(before_top > bottom, before_top - 1, bottom)
    return np.where(np.isnan(top), np.inf, joined_top), np.where(
        np.isnan(bottom), -np.inf, joined_bottom
    )
