"""Tidy tables to wide ones: one row per participant or window, one column per feature."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.config import nearest
from physio_hqc.errors import StudyError
from physio_hqc.features import FEATURES

_PLACES = ("window", "feature")
_RANK = {name: number for number, name in enumerate(FEATURES)}
_NO_PART_OF_A_NAME = re.compile(r"\W+")


def wide_table(
    tables: pd.DataFrame | Iterable[pd.DataFrame],
    *,
    windows: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    value: str = "value",
    index: Sequence[str] = ("participant", "session"),
) -> pd.DataFrame:
    """Turn tidy features or reactivity scores into the table that models take.

    Parameters
    ----------
    tables : DataFrame, or several
        Tidy tables, one row per window and feature: ``tables["features"]`` or
        ``tables["reactivity"]`` of one session or of several, of a study, or their CSV files as
        pandas reads them (``dtype={"participant": str}`` keeps the zeros of an id such as 007).
    windows : sequence of str, optional
        Windows to take, in this order. Default: all but the sliding ones, in order of appearance.
    features : sequence of str, optional
        Features to take, in this order. Default: all, in the order of
        ``physio_hqc.features.FEATURES``, others after them.
    value : str
        Column that the numbers come from: ``"value"``, ``"quality"``; of reactivity scores also
        ``"delta"``, ``"percent"``, ``"peak"`` and the like.
    index : sequence of str
        Columns that tell the rows apart; they become the index. With ``"window"`` among them
        there is a row per window and a column per feature.

    Returns
    -------
    DataFrame
        Rows in order of appearance, all columns float64, NaN where a number is missing. Columns
        are named ``FEATURE__window`` (``HRV_RMSSD__speech``), windows one after the other; what
        is neither letter, digit nor underscore in a name becomes an underscore. Where windows
        and features are both asked for, every pair of them has its column.

    Raises
    ------
    StudyError
        If a column is missing or not numeric, a window or feature that is asked for is not there,
        or a row would need two numbers in one column.

    Notes
    -----
    Sessions of other people may lack a window or a feature. ``wide_table(...).reindex(
    columns=known.columns)`` gives a table the columns that a fitted model knows.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.study import wide_table
    >>> tidy = pd.DataFrame(
    ...     {
    ...         "participant": ["P01", "P01", "P02"],
    ...         "session": ["a", "a", "b"],
    ...         "window": ["baseline", "speech", "speech"],
    ...         "feature": ["HRV_RMSSD", "HRV_RMSSD", "HRV_RMSSD"],
    ...         "value": [40.0, 25.0, 31.0],
    ...     }
    ... )
    >>> wide_table(tidy)
                         HRV_RMSSD__baseline  HRV_RMSSD__speech
    participant session
    P01         a                       40.0               25.0
    P02         b                        NaN               31.0
    >>> wide_table(tidy, index=["participant", "window"])["HRV_RMSSD"].tolist()
    [40.0, 25.0, 31.0]
    """
    keys = _keys(index)
    tidy = _chosen(_tidy(tables, (*keys, *_PLACES), value), windows, features)
    across = [name for name in ("window", "feature") if name not in keys]
    rows, row_labels = _numbered(tidy, keys)
    cells, cell_labels = _numbered(tidy, across)
    _refuse_twice(tidy, rows, cells, keys)
    columns = _columns(cell_labels, across, windows, features)
    matrix = np.full((len(row_labels), len(columns)), np.nan)
    place = {column: number for number, column in enumerate(columns)}
    at = np.array([place[label] for label in cell_labels], dtype=np.intp)
    matrix[rows, at[cells]] = tidy[value].to_numpy()
    return pd.DataFrame(matrix, index=_index(row_labels, keys), columns=_names(columns))


def _keys(index: Sequence[str]) -> list[str]:
    """Return the index columns; one name is a sequence of one."""
    keys = [index] if isinstance(index, str) else list(index)
    if not keys or "feature" in keys or len(set(keys)) < len(keys):
        raise StudyError(
            f"index is {keys}: name different columns that tell rows apart, such as participant "
            "and session; features become columns"
        )
    return keys


def _tidy(
    tables: pd.DataFrame | Iterable[pd.DataFrame], needed: Sequence[str], value: str
) -> pd.DataFrame:
    """Put the tables below each other: the needed columns, kind, and the value as floats."""
    parts = [tables] if isinstance(tables, pd.DataFrame) else _several(tables)
    return pd.concat([_read(part, needed, value) for part in parts], ignore_index=True)


def _several(tables: object) -> list[pd.DataFrame]:
    parts = list(tables) if isinstance(tables, Iterable) else [tables]
    others = [type(part).__name__ for part in parts if not isinstance(part, pd.DataFrame)]
    if others or not parts:
        found = f"a {others[0]}" if others else "nothing"
        raise StudyError(
            f"tables holds {found}: pass tidy tables, such as process_session(...).tables"
            '["features"]'
        )
    return parts


def _read(table: pd.DataFrame, needed: Sequence[str], value: str) -> pd.DataFrame:
    """Return what is needed of one table; an id or name that is empty is ""."""
    for name in (*needed, value):
        if name not in table.columns:
            near = nearest(name, [str(column) for column in table.columns])
            raise StudyError(
                f"no column '{name}' in a table; needed are rows per window and feature ({near})"
            )
    if value in needed:
        raise StudyError(f"value is '{value}', which names rows or columns: name one of numbers")
    data: dict[str, object] = {name: _labels(table[name]) for name in needed}
    data["kind"] = _labels(table["kind"]) if "kind" in table.columns else ""
    return pd.DataFrame(
        {**data, value: _numbers(table[value], value)}, index=pd.RangeIndex(len(table))
    )


def _labels(column: pd.Series) -> NDArray[np.object_]:
    """Names of a column, "" where there is none."""
    cells = column.astype(object)
    return np.asarray(cells.where(cells.notna(), ""), dtype=object)


def _numbers(column: pd.Series, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise StudyError(f"column '{name}' does not hold numbers ({error})") from error


def _chosen(
    tidy: pd.DataFrame, windows: Sequence[str] | None, features: Sequence[str] | None
) -> pd.DataFrame:
    """Rows of the windows and features that are asked for; of itself no sliding window."""
    for name, asked in (("window", windows), ("feature", features)):
        if asked is None:
            continue
        if isinstance(asked, str):
            raise StudyError(f"{name}s is the text '{asked}': pass a list of names")
        known = dict.fromkeys(tidy[name])
        for one in asked:
            if one not in known:
                near = nearest(str(one), [str(other) for other in known])
                raise StudyError(f"no row is of the {name} '{one}' ({near})")
        tidy = tidy[tidy[name].isin(list(asked))]
    return tidy if windows is not None else tidy[tidy["kind"] != "sliding"]


def _numbered(
    tidy: pd.DataFrame, columns: Sequence[str]
) -> tuple[NDArray[np.intp], list[tuple[Hashable, ...]]]:
    """Return the number of each row's label, and the labels in order of appearance."""
    if tidy.empty:
        return np.empty(0, np.intp), []
    if len(columns) == 1:
        codes, unique = pd.factorize(tidy[columns[0]].to_numpy())
        return codes, [(label,) for label in unique]
    codes, unique = pd.factorize(pd.MultiIndex.from_frame(tidy[list(columns)]))
    return codes, list(unique)


def _refuse_twice(
    tidy: pd.DataFrame, rows: NDArray[np.intp], cells: NDArray[np.intp], keys: Sequence[str]
) -> None:
    """Refuse two numbers for one place."""
    twice = pd.DataFrame({"row": rows, "cell": cells}).duplicated().to_numpy()
    if not twice.any():
        return
    row = tidy.iloc[int(np.argmax(twice))]
    who = ", ".join(f"{key} '{row[key]}'" for key in keys)
    more = [key for key in ("session",) if key not in keys]
    hint = f"; add '{more[0]}' to index?" if more else ": pass every session once"
    raise StudyError(f"{who} holds {row['feature']} of window '{row['window']}' twice{hint}")


def _rank(feature: Hashable) -> int:
    """Place of a feature in the catalog; after all of it where it is not there."""
    return _RANK.get(str(feature), len(_RANK))


def _columns(
    labels: Sequence[tuple[Hashable, ...]],
    across: Sequence[str],
    windows: Sequence[str] | None,
    features: Sequence[str] | None,
) -> list[tuple[Hashable, ...]]:
    """Labels in the order of windows, then of features; all of them where both are asked for."""
    named = list(dict.fromkeys(features)) if features is not None else None
    present = list(dict.fromkeys(label[-1] for label in labels))
    ranked = sorted(present, key=_rank) if named is None else named
    if len(across) == 1:
        return [(feature,) for feature in ranked]
    ordered = dict.fromkeys([label[0] for label in labels] if windows is None else windows)
    known = set(labels)
    every = named is not None and windows is not None
    pairs = [(window, feature) for window in ordered for feature in ranked]
    return [pair for pair in pairs if every or pair in known]


def _names(columns: Sequence[tuple[Hashable, ...]]) -> list[str]:
    """Name each column; names that are the same without their special characters get a number."""
    taken: dict[str, None] = {}
    for column in columns:
        parts = [_NO_PART_OF_A_NAME.sub("_", str(part)) for part in reversed(column)]
        base = name = "__".join(parts)
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken[name] = None
    return list(taken)


def _index(labels: Sequence[tuple[Hashable, ...]], keys: Sequence[str]) -> pd.Index:
    """Return the labels of the rows as an index of one level or of several."""
    levels = [list(level) for level in zip(*labels, strict=True)] or [[] for _ in keys]
    if len(keys) == 1:
        return pd.Index(levels[0], name=keys[0])
    return pd.MultiIndex.from_arrays(levels, names=list(keys))
