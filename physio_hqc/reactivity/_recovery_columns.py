"""Recovery table: its columns, and the scores of all rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._logistic import fit_logistic
from ._recovery_points import area_above, half_times, mean_elevation, value_at, widest_gap
from ._recovery_refusal import Limits, RowTexts, below_floor, floor_text, refusals

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

AT_S = (60.0, 180.0, 300.0, 600.0)

_CARRY = (
    "It carries the reactivity over (Sawada & Kato 2011, doi 10.1007/s11517-011-0744-0) and is not "
    "adjusted for it here: take reactivity as a covariate."
)
_CHRISTENFELD = "after Christenfeld et al. 2000, doi 10.1111/1469-8986.3740543"
# "unit" is the unit of the feature, {t} one of the fixed times.
_DICTIONARY: Mapping[str, tuple[str, str]] = {
    "session": ("", "Name of the session."),
    "participant": ("", "Who was recorded."),
    "condition": ("", "Level of what the design manipulates."),
    "window": ("", "Recovery phase."),
    "feature": ("", "Feature whose return to rest is scored."),
    "unit": ("", "Unit of the feature."),
    "baseline": ("unit", "Level at rest, as in the reactivity table."),
    "task_window": ("", "Window whose value is the task level."),
    "task": ("unit", "Task level."),
    "reactivity": ("unit", "Task level minus baseline."),
    "delta_{t}s": ("unit", "Value {t} s after the end of the task minus baseline."),
    "percent_{t}s": ("%", "Share of the reactivity that is gone {t} s after the end of the task."),
    "mean_elevation": ("unit", f"Mean of the points of the course minus baseline. {_CARRY}"),
    "auc_above": (
        "unit x min",
        f"Area between course and baseline by trapezoids, negative below baseline. {_CARRY}",
    ),
    "half_recovery_s": (
        "s",
        "Time of the first crossing of (task + baseline) / 2, interpolated between points.",
    ),
    "logistic_amount": ("unit", f"Amount of the three-parameter logistic {_CHRISTENFELD}."),
    "logistic_level": ("unit", "Level at which that curve settles."),
    "logistic_speed": ("1/min", "Speed k of that curve: level + 2 amount / (1 + exp(k t))."),
    "logistic_half_s": ("s", "Time until half of the amount is left: 60 ln(3) / k."),
    "logistic_r2": ("1", "Share of the variance that the curve explains, also if it is refused."),
    "logistic_rmse": ("unit", "Root of the mean squared residual, also if it is refused."),
    "logistic_n": ("1", "Points the curve rests on."),
    "logistic_reason": ("", "Why there is no curve, or a caution that begins with 'flag:'."),
    "n_points": ("1", "Points (minute means or cuff readings) the scores rest on."),
    "seconds": ("s", "From the start of the first point to the end of the last one."),
    "source": ("", "sliding (means of pieces) or cuff (readings)."),
    "reason": ("", "Why a score is missing, or a caution that begins with 'flag:'."),
}

# What starts later after the task than this is said to.
_LATE_S = 5.0


@dataclass(frozen=True, slots=True)
class Courses:
    """Points of every row: (m, p), times in s since the end of the task, padded with NaN."""

    times: FloatArray
    values: FloatArray
    lengths: FloatArray


def recovery_dictionary(at_s: Sequence[float] = AT_S) -> dict[str, tuple[str, str]]:
    """Columns of the recovery table in their order, each with unit and description.

    Parameters
    ----------
    at_s : sequence of float
        The fixed times that the table was made with, s.

    Returns
    -------
    dict
        Name of the column to (unit, description); "unit" stands for the unit of the feature.

    Examples
    --------
    >>> from physio_hqc.reactivity import recovery_dictionary
    >>> recovery_dictionary([90])["delta_90s"]
    ('unit', 'Value 90 s after the end of the task minus baseline.')
    """
    columns: dict[str, tuple[str, str]] = {}
    for name, (unit, text) in _DICTIONARY.items():
        if "{t}" not in name:
            columns[name] = (unit, text)
        elif name not in columns and name.startswith("delta"):
            pairs = [(key, _DICTIONARY[key]) for key in _DICTIONARY if "{t}" in key]
            for key, (own_unit, own_text) in pairs:
                for at in at_s:
                    columns[key.format(t=f"{at:g}")] = (own_unit, own_text.format(t=f"{at:g}"))
    return columns


RECOVERY_COLUMNS: tuple[str, ...] = tuple(recovery_dictionary())


def scored(
    rows: pd.DataFrame, course: Courses, at_s: Sequence[float], max_gap_s: float, limits: Limits
) -> pd.DataFrame:
    """All scores of all rows, columns in order; `rows` hold who, levels, floor and after_s."""
    notes = RowTexts(len(rows))
    base, task = rows["baseline"].to_numpy(), rows["task"].to_numpy()
    small = below_floor(rows["reactivity"].to_numpy(), rows["floor"].to_numpy())
    _note_levels(rows, small, notes)
    table = rows.drop(columns=["floor", "after_s", "task_reason", "base_reason"])
    count = np.isfinite(course.times).sum(axis=1)
    empty: BoolArray = count == 0
    notes.add(empty, "no point of the course in this window")
    _fixed_times(table, course, at_s, max_gap_s, small, ~empty, notes)
    table["mean_elevation"] = mean_elevation(course.times, course.values, base)
    table["auc_above"] = area_above(course.times / 60.0, course.values, base)
    notes.add((count == 1) & np.isfinite(base), "auc_above: 1 point, needs 2")
    half, early = half_times(course.times, course.values, base, task)
    table["half_recovery_s"] = np.where(small, np.nan, half)
    span = np.nan_to_num(np.fmax.reduce(course.times, axis=1, initial=-np.inf), neginf=0.0)
    missed = ~empty & ~small & np.isfinite(task - base) & np.isnan(half)
    notes.add(missed, lambda i: f"half recovery not reached in {span[i]:.0f} s")
    notes.add(early & ~small, "flag: half recovered before the first point")
    gaps = widest_gap(course.times)
    notes.add(gaps > max_gap_s, lambda i: f"flag: gap of {gaps[i]:.0f} s between points")
    late = rows["after_s"].to_numpy()
    notes.add(late > _LATE_S, lambda i: f"flag: begins {late[i]:.0f} s after the end of the task")
    _curves(table, rows, course, span, limits)
    table["n_points"] = count
    table["seconds"] = _seconds(course)
    table["reason"] = notes.joined()
    return table[list(recovery_dictionary(at_s))]


def _note_levels(rows: pd.DataFrame, small: BoolArray, notes: RowTexts) -> None:
    """Say why baseline, task level or reactivity is missing or of no use."""
    no_base = rows["baseline"].isna().to_numpy()
    no_task = rows["task"].isna().to_numpy()
    why_base, why_task = rows["base_reason"].to_numpy(), rows["task_reason"].to_numpy()
    window = rows["task_window"].to_numpy()
    sizes, floors = rows["reactivity"].to_numpy(), rows["floor"].to_numpy()
    units = rows["unit"].to_numpy()
    notes.add(no_base, lambda i: f"no baseline: {why_base[i] or 'not in scores'}")
    notes.add(no_task & (window == ""), "no task phase before this window")
    notes.add(
        no_task & (window != ""),
        lambda i: f"no level of {window[i]}: {why_task[i] or 'not in scores'}",
    )
    notes.add(small, lambda i: floor_text(sizes[i], floors[i], units[i]))


def _fixed_times(
    table: pd.DataFrame,
    course: Courses,
    at_s: Sequence[float],
    max_gap_s: float,
    small: BoolArray,
    there: BoolArray,
    notes: RowTexts,
) -> None:
    """Add the change from baseline and the percent recovery at the fixed times."""
    base, task = table["baseline"].to_numpy(), table["task"].to_numpy()
    reactivity = np.where(small, np.nan, task - base)
    values = [value_at(course.times, course.values, course.lengths, at, max_gap_s) for at in at_s]
    for at, value in zip(at_s, values, strict=True):
        table[f"delta_{at:g}s"] = value - base
    for at, value in zip(at_s, values, strict=True):
        table[f"percent_{at:g}s"] = 100.0 * (task - value) / reactivity
    absent = np.array([np.isnan(value) for value in values], dtype=bool).reshape(len(at_s), -1)
    names = [f"{at:g}" for at in at_s]
    notes.add(
        there & absent.any(axis=0),
        lambda i: f"no point near {', '.join(np.array(names)[absent[:, i]])} s after the task",
    )


def _curves(
    table: pd.DataFrame, rows: pd.DataFrame, course: Courses, span: FloatArray, limits: Limits
) -> None:
    """Add the logistic of every row, or why it has none."""
    fits = fit_logistic(course.times / 60.0, course.values, course.lengths / 60.0)
    reasons = refusals(
        fits,
        last_min=span / 60.0,
        reactivity=rows["reactivity"].to_numpy(),
        floor=rows["floor"].to_numpy(),
        units=rows["unit"].to_list(),
        limits=limits,
    )
    kept = np.array([text == "" or text.startswith("flag:") for text in reasons], dtype=bool)
    table["logistic_amount"] = np.where(kept, fits.amount, np.nan)
    table["logistic_level"] = np.where(kept, fits.level, np.nan)
    table["logistic_speed"] = np.where(kept, fits.speed, np.nan)
    table["logistic_half_s"] = 60.0 * np.log(3.0) / table["logistic_speed"]
    table["logistic_r2"] = fits.r2
    table["logistic_rmse"] = fits.rmse
    table["logistic_n"] = fits.n
    table["logistic_reason"] = reasons


def _seconds(course: Courses) -> FloatArray:
    """From the start of the first point to the end of the last one; 0 without points."""
    ends = np.fmax.reduce(course.times + course.lengths / 2, axis=1, initial=-np.inf)
    starts = np.fmin.reduce(course.times - course.lengths / 2, axis=1, initial=np.inf)
    return np.where(np.isfinite(ends), ends - starts, 0.0)
