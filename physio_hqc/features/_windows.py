"""Windows in, reasons out: what all feature functions share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.signals._checks import as_window_array

UNDEFINED = "not defined for the values in this window"


def as_windows(windows: ArrayLike | None, span: tuple[float, float]) -> NDArray[np.float64]:
    """Return windows as a validated (m, 2) float array of onset and offset in s.

    Parameters
    ----------
    windows : array-like, shape (m, 2), or None
        Half-open windows [onset, offset); None means one window, ``span``.
    span : tuple of float
        Onset and offset in s of the whole series.

    Raises
    ------
    SignalError
        If ``windows`` is not (m, 2), not finite, or a window ends before it starts.
    """
    return as_window_array(windows, span)


class Texts(list[str]):
    """The texts of one column, one per window; quick to copy.

    pandas deep-copies ``attrs`` whenever it gives out a column. Text cannot change, so that a copy
    of the list is a deep one; visiting every text would take most of the time of many windows.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> Texts:
        return Texts(self)


class Reasons:
    """Collects why values are missing or doubtful and builds the feature table.

    ``withhold`` makes values NaN and says why (the first reason given for a value stands);
    ``flag`` leaves values as they are and adds a caution. ``frame`` builds the table, with
    ``attrs["reasons"]``; a NaN that nobody explained is given a general reason there.
    """

    def __init__(self, n_windows: int) -> None:
        self._n = n_windows
        self._withheld: dict[str, dict[int, str]] = {}
        self._flags: dict[str, dict[int, list[str]]] = {}

    def withhold(
        self, column: str, where: NDArray[np.bool_] | bool, text: str | Sequence[str]
    ) -> None:
        """Make ``column`` NaN in the windows ``where`` holds; ``text``: one, or one a window."""
        entries = self._withheld.setdefault(column, {})
        for row in self._rows(where):
            entries.setdefault(row, _text_of(text, row))

    def flag(self, column: str, where: NDArray[np.bool_] | bool, text: str | Sequence[str]) -> None:
        """Add a caution to ``column`` in the windows ``where`` holds."""
        entries = self._flags.setdefault(column, {})
        for row in self._rows(where):
            entries.setdefault(row, []).append(_text_of(text, row))

    def frame(self, values: Mapping[str, ArrayLike]) -> pd.DataFrame:
        """Return the table of ``values`` (each of shape (m,)), one row per window."""
        columns: dict[str, NDArray[np.float64]] = {}
        reasons: dict[str, Texts] = {}
        for column, raw in values.items():
            array = np.array(raw, dtype=np.float64)
            array[list(self._withheld.get(column, {}))] = np.nan
            columns[column] = array
            reasons[column] = self._column_reasons(column, array)
        table = pd.DataFrame(columns, index=pd.RangeIndex(self._n))
        table.attrs["reasons"] = reasons
        return table

    def _column_reasons(self, column: str, array: NDArray[np.float64]) -> Texts:
        """Return one text per window: why it is NaN, else its cautions, else nothing."""
        texts = Texts([""] * self._n)
        for row, cautions in self._flags.get(column, {}).items():
            texts[row] = "flag: " + "; ".join(cautions)
        withheld = self._withheld.get(column, {})
        for row in np.flatnonzero(np.isnan(array)).tolist():
            texts[row] = withheld.get(row, UNDEFINED)
        return texts

    def _rows(self, where: NDArray[np.bool_] | bool) -> list[int]:
        """Return the window numbers that ``where`` selects."""
        rows: list[int] = np.flatnonzero(np.broadcast_to(where, self._n)).tolist()
        return rows


def merge_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put feature tables of the same windows side by side, with their reasons."""
    # As arrays: pandas would copy the reasons of the whole table with every column taken from it.
    merged = pd.DataFrame(
        np.hstack([table.to_numpy(dtype=np.float64) for table in tables]),
        columns=[name for table in tables for name in table.columns],
    )
    merged.attrs["reasons"] = {
        name: texts for table in tables for name, texts in table.attrs["reasons"].items()
    }
    return merged


def _text_of(text: str | Sequence[str], row: int) -> str:
    """Return the text for one window: the same for all, or its own."""
    return text if isinstance(text, str) else text[row]
