"""Numbers as people write them in tables, and why one of them cannot be used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.reactivity._proxy_models import Component

FLAG = "flag: "
_LARGEST = 1e12  # far above any physiology; its square does not overflow

Texts = NDArray[np.object_]


def numbers(cells: pd.Series) -> tuple[NDArray[np.float64], Texts]:
    """Cells as floats, and why a cell holds none."""
    if cells.dtype.kind in "iuf":
        values = cells.to_numpy(np.float64, copy=True)
        texts = np.where(np.isnan(values), "empty", "").astype(object)
        for row in np.flatnonzero(np.abs(values) > _LARGEST).tolist():
            values[row], texts[row] = _number(values[row])
        return values, texts
    values = np.full(len(cells), np.nan)
    texts = np.full(len(cells), "", dtype=object)
    for index, cell in enumerate(cells):
        values[index], texts[index] = _number(cell)
    return values, texts


def _number(cell: Any) -> tuple[float, str]:
    """One cell as a float, and why it holds none."""
    if (
        cell is None
        or cell is pd.NA
        or cell is pd.NaT
        or (isinstance(cell, str) and not cell.strip())
    ):
        return math.nan, "empty"
    try:
        value = float(cell)
    except (TypeError, ValueError):
        shown = f"'{' '.join(str(cell).split())[:40]}'"
        comma = isinstance(cell, str) and _is_number(cell.replace(",", ".", 1))
        return math.nan, f"{shown} is not a number" + (", write a point" if comma else "")
    if math.isnan(value):
        return math.nan, "empty"
    if abs(value) > _LARGEST:
        return math.nan, f"{value:g} is no possible value"
    return value, ""


def _is_number(text: str) -> bool:
    """Whether the text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def screened(
    values: NDArray[np.float64], texts: Texts, component: Component
) -> tuple[NDArray[np.float64], Texts]:
    """Values without those that the component cannot have, and the texts that say so."""
    values, texts = values.copy(), texts.copy()
    unit = "" if component.unit == "1" else f" {component.unit}"
    wrong = np.zeros(len(values), dtype=bool)
    if component.possible is not None:
        low, high = component.possible
        wrong = (values < low) | (values > high)
        where = f"outside {low:g} to {high:g}{unit}, a wrong unit?"
        texts[wrong] = [f"{value:g}{unit} lies {where}" for value in values[wrong]]
    if component.log:
        none = (values <= 0) & ~wrong
        texts[none] = [f"{value:g}{unit} has no logarithm" for value in values[none]]
        wrong |= none
    values[wrong] = np.nan
    return values, texts
