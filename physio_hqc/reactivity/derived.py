"""Rows that are derived from other rows: combined windows, rate pressure product."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError
from physio_hqc.reactivity._course_scores import COURSE_SCORE_COLUMNS
from physio_hqc.reactivity._tables import (
    joined,
    numbers_of,
    numeric,
    refuse_twice,
    require_columns,
    texts_of,
)
from physio_hqc.reactivity.residual import RESIDUAL_COLUMNS

_KEYS = ["session", "feature"]
_NEEDED = ("session", "window", "feature", "value")
_MEAN = ("value", "delta", "percent")
_SUM = ("duration", "readings")
_SMALLEST = ("onset", "quality")
_COUNT = re.compile(r"^CUFF_(\w+_)?N$|^(BP|RSA|BRS_xBRS)_(\w+_)?N$|^(BRS|RSP)_N_")

_RPP, _SBP, _RATE = "CUFF_RPP_Mean", "CUFF_SBP_Mean", "ECG_Rate_Mean"
_RPP_CAUTION = f"flag: mean {_SBP} times {_RATE}, as the cuff gave no heart rate"


def combine_windows(table: pd.DataFrame, combined: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Add windows that are the mean of others, such as a total task level.

    Every part weighs the same however long it is: the value is the mean of the values of the
    parts, as in "speech and preparation" of the Pittsburgh studies.

    Parameters
    ----------
    table : DataFrame
        Tidy features, or reactivity scores of one or many sessions. Needed columns: session,
        window, feature, value.
    combined : mapping
        Name of the new window to the names of its parts.

    Returns
    -------
    DataFrame
        `table` and below it the rows of the new windows, kind ``combined``. Values, delta and
        percent are means; durations and counts of readings (``CUFF_N``, ...) are sums; onset and
        quality are the smallest of the parts. A part that is missing or has no value leaves none,
        with the part in ``reason``. Course scores and residuals are not combined.

    Raises
    ------
    SignalError
        If a column is missing, a part is no window of the table, or a new name is taken.

    References
    ----------
    Cohen S. The Common Cold Project: physiologic reactivity. Carnegie Mellon University.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import combine_windows
    >>> features = pd.DataFrame({"session": "p01", "window": ["preparation", "speech"],
    ...                          "feature": "CUFF_SBP_Mean", "value": [129.0, 141.0]})
    >>> combine_windows(features, {"task": ["preparation", "speech"]})["value"].tolist()
    [129.0, 141.0, 135.0]
    """
    require_columns(table, _NEEDED, "features")
    refuse_twice(table, ("session", "window", "feature"))
    _check_names(table, combined)
    table = _plain(table)
    new = [_combined(table, name, list(parts)) for name, parts in combined.items()]
    return pd.concat([table, *new], ignore_index=True) if new else table.reset_index(drop=True)


def _check_names(table: pd.DataFrame, combined: Mapping[str, Sequence[str]]) -> None:
    """Refuse parts that are no window, and names that are one."""
    known = list(dict.fromkeys(table["window"]))
    for name, parts in combined.items():
        if not isinstance(name, str) or not name or name in known:
            raise SignalError(f"combined window {name!r}: pass a name that no window has yet")
        if isinstance(parts, str) or len(parts) < 2 or len(set(parts)) < len(parts):
            raise SignalError(f"combined window {name!r}: pass two or more different windows")
        for part in parts:
            if part not in known:
                raise SignalError(
                    f"combined window {name!r}: no window is called {part!r}; "
                    f"windows: {', '.join(map(str, known[:8]))}"
                )


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Table with nullable numbers as floats: means of whole numbers are none."""
    nullable = [
        name
        for name, dtype in table.dtypes.items()
        if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype)
    ]
    return table.astype(dict.fromkeys(nullable, np.float64))


def _combined(table: pd.DataFrame, name: str, parts: list[str]) -> pd.DataFrame:
    """Rows of one combined window."""
    rows = table[table["window"].isin(parts)]
    keys = pd.MultiIndex.from_frame(rows[_KEYS].drop_duplicates())
    of_part = [rows[rows["window"] == part].set_index(_KEYS).reindex(keys) for part in parts]
    there = [part["window"].notna().to_numpy() for part in of_part]
    new = of_part[0]
    for part in of_part[1:]:
        new = new.where(new.notna(), part)
    new = new.reset_index()
    counts = np.array([bool(_COUNT.search(str(feature))) for feature in new["feature"]])
    for column in (*_MEAN, *_SUM, *_SMALLEST):
        if column in table.columns:
            new[column] = _merged(of_part, column, counts)
    for column in (*COURSE_SCORE_COLUMNS, *RESIDUAL_COLUMNS):
        if column in table.columns:
            new[column] = np.nan
    new["window"] = name
    if "kind" in table.columns:
        new["kind"] = "combined"
    new["reason"] = _reasons(table, new, parts, of_part, there)
    return new[[*table.columns, *([] if "reason" in table.columns else ["reason"])]]


def _merged(
    of_part: list[pd.DataFrame], column: str, counts: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """One column of the parts as their mean, sum or smallest."""
    numbers = np.column_stack([numeric(part[column], column).to_numpy() for part in of_part])
    if column in _SMALLEST:
        return np.asarray(np.fmin.reduce(numbers, axis=1))
    with np.errstate(over="ignore", invalid="ignore"):
        total = numbers.sum(axis=1)
    whole = counts | (column in _SUM)
    return np.asarray(np.where(whole, total, total / numbers.shape[1]))


def _reasons(
    table: pd.DataFrame,
    new: pd.DataFrame,
    parts: list[str],
    of_part: list[pd.DataFrame],
    there: list[NDArray[np.bool_]],
) -> list[str]:
    """What the parts say, each with its name, and which part is missing."""
    texts: list[Sequence[str]] = []
    for name, rows, present in zip(parts, of_part, there, strict=True):
        value = numeric(rows["value"], "value").notna().to_numpy()
        own = texts_of(rows, "reason")
        own[(own == "") & ~value] = "value is missing"
        own[~present] = "no such window or feature"
        texts.append([_of(name, text) for text in own])
    lost = [name for name in (*COURSE_SCORE_COLUMNS, *RESIDUAL_COLUMNS) if name in table.columns]
    if lost:
        texts.append(["no course scores and residual: combined window"] * len(new))
    return joined(texts)


def _of(name: str, text: str) -> str:
    """Put the name of a part before what is said about it; a caution stays one."""
    if text.startswith("flag: "):
        return f"flag: {name}: {text.removeprefix('flag: ')}"
    return f"{name}: {text}" if text else ""


def with_rate_pressure(features: pd.DataFrame) -> pd.DataFrame:
    """Fill in the rate pressure product of cuff readings from the heart rate of the ECG.

    Where no reading of a session came with a heart rate, ``CUFF_RPP_Mean`` of each window becomes
    ``CUFF_SBP_Mean`` times ``ECG_Rate_Mean``. Sessions in which the cuff gave a heart rate stay as
    they are, so that no baseline is compared with a value of the other kind.

    Parameters
    ----------
    features : DataFrame
        Tidy features of one or many sessions. Needed columns: session, window, feature, value.

    Returns
    -------
    DataFrame
        Copy with the rows added after ``CUFF_SBP_Mean`` (a row without a value is replaced); unit
        mmHg/min, the lower quality of the two, and a caution in ``reason``: the product of two
        means is not the mean of the products of each reading.

    Raises
    ------
    SignalError
        If a column is missing or not numeric, or a window of a session holds a feature twice.

    References
    ----------
    Gobel F. L. et al. (1978). Circulation 57, 549-556. doi:10.1161/01.CIR.57.3.549.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import with_rate_pressure
    >>> features = pd.DataFrame({"session": "p01", "window": "speech", "value": [140.0, 90.0],
    ...                          "feature": ["CUFF_SBP_Mean", "ECG_Rate_Mean"]})
    >>> with_rate_pressure(features).query("feature == 'CUFF_RPP_Mean'")["value"].tolist()
    [12600.0]
    """
    require_columns(features, _NEEDED, "features")
    refuse_twice(features, ("session", "window", "feature"))
    value = numeric(features["value"], "value")
    table = features.reset_index(drop=True).assign(value=value.to_numpy())
    has_value = np.isfinite(table["value"])
    own_rate = table["feature"].isin([_RPP, "CUFF_HR_Mean"]) & has_value
    open_to_it = ~table["session"].isin(table.loc[own_rate, "session"].unique())
    pressure = table[open_to_it & has_value & (table["feature"] == _SBP)]
    rate = table[open_to_it & has_value & (table["feature"] == _RATE)]
    added = _products(pressure.assign(place=pressure.index + 0.5), rate)
    if added.empty:
        return table
    keys = ["session", "window"]
    empty = table["feature"] == _RPP
    filled = pd.MultiIndex.from_frame(table[keys]).isin(pd.MultiIndex.from_frame(added[keys]))
    kept = table[~(empty & filled)]
    rows = pd.concat([kept.assign(place=kept.index.astype(np.float64)), added], ignore_index=True)
    return rows.sort_values("place", kind="stable", ignore_index=True).drop(columns="place")


def _products(pressure: pd.DataFrame, rate: pd.DataFrame) -> pd.DataFrame:
    """Rows of the product, made from the rows of the pressure."""
    of_rate = pd.DataFrame(
        {
            "session": rate["session"].to_numpy(),
            "window": rate["window"].to_numpy(),
            "rate": rate["value"].to_numpy(),
            "rate_quality": numbers_of(rate, "quality"),
            "rate_reason": texts_of(rate, "reason"),
        }
    )
    both = pressure.merge(of_rate, on=["session", "window"], how="inner", sort=False)
    caution = np.full(len(both), _RPP_CAUTION, dtype=object)
    changed = {
        "feature": _RPP,
        "value": both["value"] * both["rate"],
        "unit": "mmHg/min",
        "quality": np.fmin(numbers_of(both, "quality"), both["rate_quality"]),
        "reason": joined([caution, texts_of(both, "reason"), both["rate_reason"]]),
    }
    present = {name: column for name, column in changed.items() if name in pressure.columns}
    present["reason"] = changed["reason"]
    return both.assign(**present).drop(columns=["rate", "rate_quality", "rate_reason"])
