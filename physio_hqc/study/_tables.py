"""Columns of the statistical tables, and what every one of their rows is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

STATISTICS_COLUMNS: tuple[str, ...] = (
    "outcome",
    "unit",
    "window",
    "analysis",
    "errors",
    "primary",
    "kind",
    "term",
    "estimate",
    "se",
    "df1",
    "df2",
    "statistic",
    "statistic_name",
    "p",
    "p_holm",
    "ci_low",
    "ci_high",
    "hedges_g",
    "g_low",
    "g_high",
    "partial_eta2",
    "n",
    "n_by_condition",
    "model",
    "note",
)
ASSUMPTION_COLUMNS: tuple[str, ...] = (
    "outcome",
    "window",
    "analysis",
    "check",
    "test",
    "statistic",
    "df1",
    "df2",
    "p",
    "value",
    "passed",
    "consequence",
)
SENSITIVITY_COLUMNS: tuple[str, ...] = (
    "outcome",
    "window",
    "variant",
    "term",
    "estimate",
    "se",
    "ci_low",
    "ci_high",
    "p",
    "n",
    "note",
)
POWER_COLUMNS: tuple[str, ...] = (
    "outcome",
    "window",
    "term",
    "n",
    "df",
    "se",
    "alpha",
    "power",
    "smallest_effect",
    "smallest_g",
    "power_for_reference",
    "reference_g",
    "note",
)
DESCRIPTIVE_COLUMNS: tuple[str, ...] = (
    "feature",
    "unit",
    "window",
    "condition",
    "n",
    "mean",
    "sd",
    "median",
    "q25",
    "q75",
    "min",
    "max",
    "baseline_mean",
    "delta_mean",
    "delta_sd",
    "delta_low",
    "delta_high",
)
_TEXT = frozenset(
    {
        "outcome",
        "feature",
        "unit",
        "window",
        "condition",
        "analysis",
        "errors",
        "kind",
        "term",
        "statistic_name",
        "n_by_condition",
        "model",
        "note",
        "check",
        "test",
        "consequence",
        "variant",
    }
)
_COUNT = frozenset({"n"})
_TRUTH = frozenset({"primary", "passed"})

Row = dict[str, Any]


def as_table(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table with these columns and steady types; what a row does not say is NaN or ""."""
    data: dict[str, Any] = {}
    for name in columns:
        if name in _TEXT:
            data[name] = np.array([row.get(name, "") for row in rows], dtype=object)
        elif name in _COUNT:
            data[name] = np.array([row.get(name, 0) for row in rows], dtype=np.int64)
        elif name in _TRUTH:
            data[name] = np.array([row.get(name, False) for row in rows], dtype=bool)
        else:
            data[name] = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
    return pd.DataFrame(data, columns=list(columns))


def joined(*notes: str | Iterable[str]) -> str:
    """Different notes, in their order, as one text."""
    texts: list[str] = []
    for note in notes:
        texts += [note] if isinstance(note, str) else list(note)
    return "; ".join(text for text in dict.fromkeys(texts) if text)


def add_holm(rows: list[Row]) -> None:
    """Give the contrasts of each outcome, window, analysis and errors their Holm-corrected p."""
    families: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["kind"] == "contrast" and np.isfinite(row.get("p", np.nan)):
            key = (row["outcome"], row["window"], row["analysis"], row["errors"])
            families.setdefault(key, []).append(row)
    for family in families.values():
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = p


def holm(p: Sequence[float]) -> list[float]:
    """Correct p values by Holm's step-down method.

    As ``statsmodels.stats.multitest.multipletests(p, method="holm")``, which collects garbage at
    every call (40 ms).

    Examples
    --------
    >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty(len(values))
    result[order] = np.minimum(corrected, 1.0)
    return [float(value) for value in result]
