"""Ratings of a study: one number per participant, window and name, from a table or from events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from physio_hqc.errors import StudyError
from physio_hqc.study._participants_text import (
    TextTable,
    canonical,
    is_missing,
    read_text_table,
    to_number,
)
from physio_hqc.study.participants import ALIASES as _PARTICIPANT_ALIASES
from physio_hqc.study.participants import condition_key, session_name, unknown_word

RATING_COLUMNS: tuple[str, ...] = (
    "participant",
    "session",
    "window",
    "scale",
    "name",
    "value",
    "min",
    "max",
    "kind",
    "n_items",
    "reason",
)
KINDS: tuple[str, ...] = ("item", "single", "subscale", "composite")

ALIASES: Mapping[str, tuple[str, ...]] = {
    "participant": ("id", *(word for word in _PARTICIPANT_ALIASES["id"] if word != "participant")),
    "session": _PARTICIPANT_ALIASES["session"],
    "window": ("phase", "interaction", "moment"),
    "name": ("rating", "item", "label"),
    "value": ("answer", "response"),
    "min": ("minimum", "low"),
    "max": ("maximum", "high"),
}
"""Column name to the other headers that are taken for it (any case, blanks as ``_``)."""

_BESIDE = {"condition", "dyad", "dyad_id", "onset", "partner", "source", "min", "max", "scale"}
_BESIDE |= {"kind", "n_items", "reason", "comment", "comments", "note", "notes", "date", "time"}
_WHO = ("participant", "session")


def load_ratings(
    source: str | Path | pd.DataFrame, *, windows: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read ratings, one row per rating (long) or one column per rating (wide).

    Parameters
    ----------
    source : str, Path or DataFrame
        CSV as for :func:`~physio_hqc.study.load_participants`, or a DataFrame such as the rating
        events of sessions. Long: participant or session (or both), window, name, value, and
        where known min and max of the response scale (stated once they hold for the name).
        Wide: participant or session, window, and one column per rating or item. Headers in any
        case or as in `ALIASES`. Without a window the rating belongs to the whole session.
        Columns that say when, by whom and how a rating was given (onset, partner, source,
        comment, date ...) are passed over.
    windows : sequence of str, optional
        Windows of the study; any other word is refused.

    Returns
    -------
    DataFrame
        Columns `RATING_COLUMNS`, in the order of the source. Each row has kind "single" until
        :func:`~physio_hqc.study.score_scale` knows better. A missing answer is NaN with a reason.

    Raises
    ------
    StudyError
        No column says who rated or what; a value that is no number or outside its range; a
        rating given twice. Of rating events of one window the last counts, which `reason` says.

    Examples
    --------
    >>> import pandas as pd
    >>> wide = pd.DataFrame({"participant": ["007", "008"], "window": "speech", "stress": [6, 3]})
    >>> load_ratings(wide)[["participant", "window", "name", "value"]].to_dict("split")["data"]
    [['007', 'speech', 'stress', 6.0], ['008', 'speech', 'stress', 3.0]]
    """
    table, written = canonical(read_text_table(source, "ratings"), ALIASES)
    cells = table.frame
    if not any(who in cells.columns for who in _WHO):
        found = ", ".join(map(str, cells.columns[:8]))
        raise StudyError(f"{table.name}: no column participant or session; its columns: {found}")
    long = _long(table) if {"name", "value"} <= set(cells.columns) else _wide(table, written)
    _identified(table, long)
    long["window"] = _windows(table, long, windows)
    long["value"] = _numbers(table, long, "value")
    for bound in ("min", "max"):
        long[bound] = _numbers(table, long, bound)
        long[bound] = long[bound].fillna(long.groupby("name")[bound].transform("first"))
    _inside(table, long)
    return _finished(_once(table, long))


def _long(table: TextTable) -> pd.DataFrame:
    """Rows of a table that has one rating per row."""
    cells = table.frame
    long = pd.DataFrame({"position": np.arange(len(cells))})
    for column in (*_WHO, "window", "name", "value", "min", "max", "onset", "scale", "kind"):
        long[column] = cells[column].to_numpy() if column in cells.columns else ""
    long["event"] = "onset" in cells.columns
    nameless = (long["name"] == "").to_numpy()
    if nameless.any():
        raise StudyError(
            f"{table.where(int(nameless.argmax()))}: the name of the rating is missing"
        )
    return long


def _wide(table: TextTable, written: Mapping[str, str]) -> pd.DataFrame:
    """Rows of a table that has one rating per column."""
    # "rating" or "response" is then the name of a rating, not another word for value or name.
    own = {name: written[name] for name in ("name", "value", "min", "max") if name in written}
    cells = table.frame.rename(columns=own)
    who = [column for column in (*_WHO, "window") if column in cells.columns]
    items = [
        column
        for column in cells.columns
        if column not in who and str(column).lower().replace(" ", "_") not in _BESIDE
    ]
    if not items:
        raise StudyError(
            f"{table.name}: no rating in it; long tables have the columns name and value, "
            "wide ones a column per rating"
        )
    blocks = {column: np.repeat(cells[column].to_numpy(), len(items)) for column in who}
    return pd.DataFrame(
        {
            "position": np.repeat(np.arange(len(cells)), len(items)),
            **{column: blocks.get(column, "") for column in (*_WHO, "window")},
            "name": np.tile(np.array(items, dtype=object), len(cells)),
            "value": cells[items].to_numpy().ravel(),
            "min": "",
            "max": "",
            "onset": "",
            "event": False,
            "scale": "",
            "kind": "",
        }
    )


def _identified(table: TextTable, long: pd.DataFrame) -> None:
    """Demand that every row says who rated; sessions lose folder and ending."""
    for who in _WHO:
        long[who] = ["" if text.lower() in ("n/a", "nan") else text for text in long[who]]
    long["session"] = [session_name(text) for text in long["session"]]
    nobody = ((long["participant"] == "") & (long["session"] == "")).to_numpy()
    if nobody.any():
        place = table.where(int(long["position"].iloc[int(nobody.argmax())]))
        raise StudyError(f"{place}: neither participant nor session says who rated")


def _windows(table: TextTable, long: pd.DataFrame, valid: Sequence[str] | None) -> list[str]:
    """Window of every row, in the spelling of the study."""
    words = ["" if is_missing(text) else text for text in long["window"]]
    if valid is None:
        return words
    by_key = {condition_key(name): name for name in valid}
    exact = set(valid)
    found = []
    for word, position in zip(words, long["position"], strict=True):
        name = word if word in exact or not word else by_key.get(condition_key(word))
        if name is None:
            raise StudyError(f"{table.where(int(position))}: window {unknown_word(word, valid)}")
        found.append(name)
    return found


def _numbers(table: TextTable, long: pd.DataFrame, column: str) -> list[float]:
    """Numbers of one column."""
    numbers = []
    for text, name, position in zip(long[column], long["name"], long["position"], strict=True):
        number = to_number(text)
        if number is None:
            what = f"'{name}'" if column == "value" else f"{column} of '{name}'"
            raise StudyError(
                f"{table.where(int(position))}: {what} is '{text[:60]}', not a number; write a "
                "number, or n/a where there is no answer"
            )
        numbers.append(number)
    return numbers


def _inside(table: TextTable, long: pd.DataFrame) -> None:
    """Demand values inside their range, and ranges that are some."""
    wrong = (long["min"] >= long["max"]).to_numpy()
    if wrong.any():
        row = long.iloc[int(wrong.argmax())]
        raise StudyError(
            f"{table.where(int(row['position']))}: '{row['name']}' has min {row['min']:g} and max "
            f"{row['max']:g}; min must be smaller"
        )
    out = ((long["value"] < long["min"]) | (long["value"] > long["max"])).to_numpy()
    if out.any():
        row = long.iloc[int(out.argmax())]
        raise StudyError(
            f"{table.where(int(row['position']))}: '{row['name']}' is {row['value']:g}, outside "
            f"{row['min']:g} to {row['max']:g}"
        )


def _once(table: TextTable, long: pd.DataFrame) -> pd.DataFrame:
    """One row per rating: events keep the last answer, a table must not hold two."""
    key = [*_WHO, "window", "name"]
    twice = long.duplicated(key, keep="first")
    long["reason"] = np.where(long["value"].isna(), "not answered", "")
    if not twice.any():
        return long
    if not long["event"].all():
        position = int(twice.to_numpy().argmax())
        row = long.iloc[position]
        same = (long[key] == row[key]).all(axis=1).to_numpy()
        before = table.rows[int(long["position"].iloc[int(same.argmax())])]
        who = row["participant"] or row["session"]
        raise StudyError(
            f"{table.where(int(row['position']))}: '{row['name']}' of '{who}' in window "
            f"'{row['window']}' is already in {before}; keep one of them"
        )
    onset = pd.Series(_numbers(table, long, "onset"), index=long.index)
    counts = long.groupby(key, sort=False)["position"].transform("size")
    said = "flag: rated " + counts.astype(str) + " times, the last one counts"
    long["reason"] = long["reason"].mask((counts > 1) & long["value"].notna(), said)
    last = onset.sort_values(kind="stable").index
    return long.loc[last].drop_duplicates(key, keep="last").sort_index()


def _finished(long: pd.DataFrame) -> pd.DataFrame:
    """Columns of a ratings table."""
    long = long.assign(
        kind=long["kind"].where(long["kind"].isin(KINDS), "single"),
        n_items=long["value"].notna().astype(int),
    )
    return long[list(RATING_COLUMNS)].reset_index(drop=True)
