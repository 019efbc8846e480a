"""Recovery table: which rows there are, their levels and their points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError

from ._recovery_columns import Courses, scored
from ._recovery_refusal import Limits, floor_of
from ._tables import numbers_of, refuse_twice, require_columns, texts_of

FloatArray = NDArray[np.float64]

_KEYS = ["session", "window", "feature", "source"]


def scores_table(
    scores: pd.DataFrame,
    courses: pd.DataFrame,
    *,
    windows: pd.DataFrame | None,
    task_window: str | None,
    at_s: Sequence[float],
    floor: float | Mapping[str, float] | None,
    quality_min: float,
    max_gap_s: float,
    limits: Limits,
) -> pd.DataFrame:
    """Recovery table of many sessions; see `recovery_scores`."""
    times = _checked_times(at_s, max_gap_s)
    levels, points = _checked_scores(scores), _checked_courses(courses)
    phases = _phases(levels, points, windows)
    stretches = _stretches(phases, levels, task_window)
    rows = _rows(levels, points, stretches)
    rows = _with_levels(rows, levels)
    rows["floor"] = _floors(rows, floor)
    usable = points["value"].notna() & ~(points["quality"] < quality_min)
    course = _matrices(rows, points[usable])
    return scored(rows, course, times, max_gap_s, limits)


def _checked_times(at_s: Sequence[float], max_gap_s: float) -> list[float]:
    """Fixed times as floats, each once."""
    times = [float(at) for at in at_s]
    if not all(np.isfinite(at) and at > 0 for at in times) or len(set(times)) < len(times):
        raise SignalError(f"at_s is {list(at_s)}: pass different times above 0, in seconds")
    if not max_gap_s > 0:
        raise SignalError(f"max_gap_s is {max_gap_s}: pass a number above 0")
    return times


def _checked_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns of the reactivity table that are used, in the right types."""
    needed = ("session", "window", "feature", "baseline", "value")
    texts = ("session", "window", "feature", "participant", "condition", "unit", "reason")
    numbers = ("baseline", "value", "onset", "duration", "delta")
    table = _columns(require_columns(scores, needed, "scores"), texts, numbers)
    refuse_twice(table, ["session", "window", "feature"])
    if "delta" in scores.columns:
        # A value without delta (poor quality, no baseline) is no level to compare with.
        table["value"] = table["value"].where(table["delta"].notna())
    return table


def _checked_courses(courses: pd.DataFrame) -> pd.DataFrame:
    """Columns of the course table that are used, in the right types."""
    needed = ("session", "window", "role", "feature", "since_s", "value")
    texts = ("session", "window", "feature", "role", "kind", "source", "participant", "condition")
    numbers = ("since_s", "value", "time_s", "duration_s", "quality")
    table = _columns(require_columns(courses, needed, "courses"), texts, numbers)
    table["duration_s"] = table["duration_s"].fillna(0.0).clip(lower=0.0)
    return table


def _columns(frame: pd.DataFrame, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Copy of the named columns; what is absent is "" or NaN."""
    columns = {name: pd.Series(texts_of(frame, name), dtype=object) for name in texts}
    return pd.DataFrame(columns | {name: pd.Series(numbers_of(frame, name)) for name in numbers})


def _phases(
    levels: pd.DataFrame, points: pd.DataFrame, windows: pd.DataFrame | None
) -> pd.DataFrame:
    """Task and recovery phases of every session: session, window, role, onset, duration."""
    when = levels.drop_duplicates(["session", "window"])[["session", "window", "onset", "duration"]]
    if windows is None:
        known = points.drop_duplicates(["session", "window"])[["session", "window", "role", "kind"]]
        known = _same_protocol(when, known).merge(when, on=["session", "window"], how="left")
        began = (points["time_s"] - points["since_s"]).groupby(
            [points["session"], points["window"]], sort=False
        )
        start = began.median().rename("start").reset_index()
        known = known.merge(start, on=["session", "window"], how="left")
        known["onset"] = known["onset"].fillna(known["start"])
    else:
        given = require_columns(windows, ("window", "role"), "windows")
        known = _columns(given, ("session", "window", "role", "kind"), ("onset", "duration"))
        if "session" not in windows.columns:
            sessions = pd.DataFrame({"session": points["session"].unique()})
            known = sessions.merge(known.drop(columns="session"), how="cross")
    # Interaction windows and last minutes lie inside phases; recovery runs from a phase's start.
    whole = known["kind"].isin(["phase", ""]) & known["role"].isin(["task", "recovery"])
    columns = ["session", "window", "role", "onset", "duration"]
    return known.loc[whole, columns].drop_duplicates(["session", "window"])


def _same_protocol(when: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Add windows without any point, with the role that their name has in other sessions."""
    roles = known.drop_duplicates("window")[["window", "role", "kind"]]
    named = when[["session", "window"]].merge(roles, on="window", how="inner")
    return pd.concat([known, named], ignore_index=True).drop_duplicates(["session", "window"])


def _stretches(phases: pd.DataFrame, levels: pd.DataFrame, task_window: str | None) -> pd.DataFrame:
    """One row per recovery phase: its task window and how long after the task it begins."""
    recovery = phases[phases["role"] == "recovery"].drop(columns=["role", "duration"])
    tasks = phases[phases["role"] == "task"].drop(columns="role")
    tasks = tasks.assign(end=tasks["onset"] + tasks["duration"])
    tasks = tasks.rename(columns={"window": "task_window", "onset": "task_onset"})
    pairs = recovery.merge(tasks.drop(columns="duration"), on="session", how="left")
    # Without times the last task named counts; with them, the last one that began before.
    before = ~(pairs["task_onset"] >= pairs["onset"])
    pairs.loc[~before, ["task_window", "task_onset", "end"]] = ["", np.nan, np.nan]
    pairs = pairs.sort_values("task_onset", kind="stable", na_position="first")
    last = pairs.drop_duplicates(["session", "window"], keep="last").sort_index()
    last["after_s"] = (last["onset"] - last["end"]).clip(lower=0.0).fillna(0.0)
    last["task_window"] = last["task_window"].astype(object).where(last["task_window"].notna(), "")
    if task_window is not None:
        if len(levels) and not levels["window"].eq(task_window).any():
            known = ", ".join(map(str, levels["window"].unique()[:8]))
            raise SignalError(f"no window is called {task_window!r}; windows: {known}")
        last["task_window"] = task_window
    return last[["session", "window", "task_window", "after_s"]]


def _rows(levels: pd.DataFrame, points: pd.DataFrame, stretches: pd.DataFrame) -> pd.DataFrame:
    """Rows of the result: what has a course, and what has one in other sessions only."""
    runs = points.merge(stretches[["session", "window"]], on=["session", "window"])
    rows = runs.drop_duplicates(_KEYS)[_KEYS]
    kinds = rows[["feature", "source"]].drop_duplicates()
    scored = levels.merge(stretches[["session", "window"]], on=["session", "window"])
    expected = scored[["session", "window", "feature"]].merge(kinds, on="feature")[_KEYS]
    rows = pd.concat([rows, expected], ignore_index=True).drop_duplicates(_KEYS)
    order = {
        name: {key: i for i, key in enumerate(dict.fromkeys(names))}
        for name, names in {
            "session": [*levels["session"], *points["session"]],
            "window": [*levels["window"], *points["window"]],
            "feature": points["feature"],
            "source": points["source"],
        }.items()
    }
    ranks = pd.DataFrame({name: rows[name].map(order[name]) for name in _KEYS})
    rows = rows.loc[ranks.sort_values(_KEYS, kind="stable").index].reset_index(drop=True)
    rows = rows.merge(stretches, on=["session", "window"], how="left", validate="many_to_one")
    texts = ["participant", "condition"]
    who = pd.concat([levels[["session", *texts]], points[["session", *texts]]])
    return rows.merge(who.drop_duplicates("session"), on="session", how="left")


def _with_levels(rows: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Add unit, baseline, task level and reactivity, and why the task level is missing."""
    keys = ["session", "window", "feature"]
    at_task = levels[[*keys, "baseline", "value", "unit", "reason"]].rename(
        columns={"window": "task_window", "value": "task", "reason": "task_reason"}
    )
    own = levels[[*keys, "baseline", "unit", "reason"]].rename(
        columns={"baseline": "own_baseline", "unit": "own_unit", "reason": "base_reason"}
    )
    rows = rows.merge(at_task, on=["session", "task_window", "feature"], how="left")
    rows = rows.merge(own, on=keys, how="left")
    found = rows["baseline"].notna()
    rows["baseline"] = rows["baseline"].where(found, rows["own_baseline"])
    rows["unit"] = rows["unit"].where(rows["unit"].notna(), rows["own_unit"])
    for name in ("unit", "task_reason", "base_reason"):
        rows[name] = rows[name].astype(object).where(rows[name].notna(), "")
    rows["reactivity"] = rows["task"] - rows["baseline"]
    return rows.drop(columns=["own_baseline", "own_unit"])


def _floors(rows: pd.DataFrame, floor: float | Mapping[str, float] | None) -> FloatArray:
    """Floor of every row."""
    different = rows[["feature", "unit"]].drop_duplicates()
    floors = {
        (feature, unit): floor_of(feature, unit, floor)
        for feature, unit in different.itertuples(index=False)
    }
    if not all(np.isfinite(value) and value >= 0 for value in floors.values()):
        raise SignalError("floor: pass numbers of 0 or more")
    pairs = zip(rows["feature"], rows["unit"], strict=True)
    return np.array([floors[pair] for pair in pairs], dtype=np.float64)


def _matrices(rows: pd.DataFrame, points: pd.DataFrame) -> Courses:
    """Points of every row side by side, in the order of time."""
    numbered = rows[[*_KEYS, "after_s"]].assign(row=np.arange(len(rows)))
    table = points.merge(numbered, on=_KEYS, how="inner")
    table["t"] = table["since_s"] + table["after_s"]
    table = table[table["t"] >= 0].sort_values(["row", "t"], kind="stable")
    place = table.groupby("row", sort=False).cumcount().to_numpy()
    shape = (len(rows), int(place.max(initial=-1)) + 1)
    filled = []
    for name in ("t", "value", "duration_s"):
        matrix = np.full(shape, np.nan)
        matrix[table["row"].to_numpy(), place] = table[name].to_numpy()
        filled.append(matrix)
    return Courses(*filled)
