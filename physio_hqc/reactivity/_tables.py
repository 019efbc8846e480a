"""What the functions of this room share in reading the tables they are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError

_NAMES = ("session", "window", "kind", "feature")
_SENTENCES = ("reason", "unit")


def require_columns(table: object, needed: Sequence[str], name: str) -> pd.DataFrame:
    """Return the table if it is a DataFrame with these columns, or say what is missing."""
    if not isinstance(table, pd.DataFrame):
        raise SignalError(f"{name} is a {type(table).__name__}: pass a DataFrame")
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise SignalError(f"{name} lack the column {missing[0]!r}: pass a tidy {name} table")
    for column in [column for column in _NAMES if column in needed]:
        _check_names(table[column], column, name)
    return table


def _check_names(column: pd.Series, key: str, name: str) -> None:
    """Refuse a column of names that holds what cannot be one, such as a list."""
    if column.dtype != object or pd.api.types.infer_dtype(column, skipna=False) == "string":
        return
    try:
        pd.factorize(column)
    except TypeError as error:
        raise SignalError(f"{name}: column {key!r} holds a value that is no name") from error


def numeric(column: pd.Series, name: str) -> pd.Series:
    """Column as floats, or one clear line."""
    try:
        return pd.to_numeric(column).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise SignalError(f"column {name!r} is not numeric ({error})") from error


def texts_of(table: pd.DataFrame, column: str) -> NDArray[np.object_]:
    """Texts of a column, "" where it is missing or absent; ids that are numbers stay so."""
    if column not in table.columns:
        return np.full(len(table), "", dtype=object)
    texts = table[column].astype(object)
    texts = texts.where(texts.notna(), "")
    if column in _SENTENCES and pd.api.types.infer_dtype(texts, skipna=False) != "string":
        return np.array([str(text) for text in texts], dtype=object)
    return np.asarray(texts, dtype=object)


def numbers_of(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Numbers of a column, NaN where it is absent."""
    if column not in table.columns:
        return np.full(len(table), np.nan)
    return np.asarray(numeric(table[column], column), dtype=np.float64)


def with_session(table: pd.DataFrame, sessions: NDArray[np.object_], name: str) -> pd.DataFrame:
    """Copy of a table with a session column; without one it belongs to the only session."""
    if "session" in table.columns:
        return table.reset_index(drop=True)
    if len(sessions) > 1:
        raise SignalError(
            f"{name} lack the column 'session', but features hold {len(sessions)} sessions: add it"
        )
    return table.reset_index(drop=True).assign(session=sessions[0] if len(sessions) else "")


def joined(parts: Sequence[Sequence[str] | NDArray[np.generic] | pd.Series]) -> list[str]:
    """Join the parts of every row; each part holds one text per row, "" for nothing."""
    whole = np.array(parts[0], dtype=object)
    for part in parts[1:]:
        texts = np.asarray(part)
        new = np.flatnonzero(texts != "")
        before, after = whole[new], texts[new].astype(object)
        whole[new] = np.where(before == "", after, before + "; " + after)
    return [str(text) for text in whole]


def counted(numbers: NDArray[np.float64]) -> NDArray[np.object_]:
    """Whole numbers as texts; every different number is written once."""
    different, which = np.unique(numbers, return_inverse=True)
    return np.array([f"{number:.0f}" for number in different], dtype=object)[which]


def refuse_twice(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table in which a window (second column) of a session holds a feature twice."""
    twice = table.duplicated(list(columns))
    if twice.any():
        session, window, feature = table.loc[twice, list(columns)].iloc[0]
        raise SignalError(
            f"session {session!r}: window {window!r} holds {feature} twice; "
            "sessions and windows need unique names"
        )
