"""Every outcome in every window and condition, before any model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ._design import Design
from ._tables import Row

Array = NDArray[np.float64]


def descriptive_rows(design: Design, *, alpha: float = 0.05) -> list[Row]:
    """Rows of all outcomes, windows and conditions; the baseline stands first."""
    rows: list[Row] = []
    for outcome in design.outcomes:
        table = design.scores[design.scores["feature"] == outcome]
        rows += _baseline_rows(design, table, outcome)
        for window in _windows(design, table):
            sample = design.sample(outcome, window, covariates=())
            every = design.people.index.get_indexer(sample.participant)
            single = _singles(design, outcome, window, sample.participant)
            value = np.concatenate([sample.value, single["value"].to_numpy()])
            baseline = np.concatenate([sample.baseline, single["baseline"].to_numpy()])
            codes = design.people["code"].to_numpy()[
                np.concatenate([every, single["person"].to_numpy(dtype=np.intp)])
            ]
            for code, condition in enumerate(design.conditions):
                rows.append(
                    {
                        "feature": f"ln {outcome}" if sample.log else outcome,
                        "unit": sample.unit,
                        "window": window,
                        "condition": condition,
                        **_levels(value[codes == code]),
                        **_changes(value[codes == code], baseline[codes == code], alpha),
                    }
                )
    return rows


def _singles(design: Design, outcome: str, window: str, there: NDArray[np.object_]) -> pd.DataFrame:
    """Usable rows of participants who are alone in their condition, and so in no model."""
    table = design.scores.iloc[design.cells.get((outcome, window), np.zeros(0, dtype=np.intp))]
    table = table[~table["participant"].isin(there)]
    if outcome in design.log_outcomes:
        with np.errstate(divide="ignore", invalid="ignore"):
            table = table.assign(value=np.log(table["value"]), baseline=np.log(table["baseline"]))
    usable = np.isfinite(table["value"]) & np.isfinite(table["baseline"])
    usable &= table["rejected"] == ""
    return table[usable & ~(table["quality"] < design.quality_min)]


def _windows(design: Design, table: pd.DataFrame) -> list[str]:
    """Phases, interaction windows and what is compared, in the order of the session."""
    shown = table["kind"].isin(["phase", "interaction", ""]) | table["window"].isin(design.windows)
    first = table[shown].drop_duplicates("window")
    return list(first.sort_values("onset", kind="stable")["window"])


def _baseline_rows(design: Design, table: pd.DataFrame, outcome: str) -> list[Row]:
    """The baseline that everything is set against, one value per participant."""
    usable = table[np.isfinite(table["baseline"])]
    first = usable.drop_duplicates("participant")
    names = list(dict.fromkeys(first["baseline_window"]))
    value = first["baseline"].to_numpy(dtype=np.float64)
    log = outcome in design.log_outcomes
    if log:
        first, value = first[value > 0], np.log(value[value > 0])
    codes = design.people["code"].to_numpy()[first["person"].to_numpy(dtype=np.intp)]
    unit = str(first["unit"].iloc[0]) if len(first) else ""
    return [
        {
            "feature": f"ln {outcome}" if log else outcome,
            "unit": f"ln {unit}".strip() if log else unit,
            "window": names[0] if len(names) == 1 and names[0] else "baseline",
            "condition": condition,
            **_levels(value[codes == code]),
            "baseline_mean": value[codes == code].mean() if (codes == code).any() else np.nan,
        }
        for code, condition in enumerate(design.conditions)
    ]


def _levels(value: Array) -> Row:
    """Number, mean, spread and quartiles."""
    if not len(value):
        return {"n": 0}
    q25, median, q75 = np.quantile(value, [0.25, 0.5, 0.75])
    return {
        "n": len(value),
        "mean": value.mean(),
        "sd": value.std(ddof=1) if len(value) > 1 else np.nan,
        "median": median,
        "q25": q25,
        "q75": q75,
        "min": value.min(),
        "max": value.max(),
    }


def _changes(value: Array, baseline: Array, alpha: float) -> Row:
    """Baseline and change with the interval of the mean change."""
    if not len(value):
        return {}
    delta = value - baseline
    row = {"baseline_mean": baseline.mean(), "delta_mean": delta.mean()}
    if len(delta) < 2:
        return row
    sd = delta.std(ddof=1)
    reach = stats.t.isf(alpha / 2, len(delta) - 1) * sd / np.sqrt(len(delta))
    return {
        **row,
        "delta_sd": sd,
        "delta_low": delta.mean() - reach,
        "delta_high": delta.mean() + reach,
    }
