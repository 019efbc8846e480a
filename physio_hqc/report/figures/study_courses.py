"""How the outcomes run over the session: mean and confidence band by condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.report._study_style import (
    SMALL_PT,
    Look,
    condition_handles,
    key_above,
    key_rows,
    name_axes,
    paper,
    place,
    size_mm,
)
from physio_hqc.report._study_words import outcome_name, with_unit
from physio_hqc.report._style import INK, role_color
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 6
_LEFT, _RIGHT, _HEIGHT, _GAP, _BELOW = 15.0, 3.0, 27.0, 6.5, 9.0
_LINE = 4.0
_MOST_STEPS = 3.0


def courses_figure(
    means: pd.DataFrame,
    phases: pd.DataFrame,
    outcomes: Sequence[str],
    looks: Mapping[str, Look],
    units: Mapping[str, str],
    *,
    change: bool,
) -> Figure | None:
    """Draw each outcome over the session that all participants share, one panel below the other.

    Parameters
    ----------
    means : DataFrame
        feature, condition, window, time_s, n, mean, low, high (`course_means`).
    phases : DataFrame
        window, label, role, onset, duration in s (`shared_phases`).
    outcomes : sequence of str
        Features, one panel each, at most six.
    looks : mapping of str to Look
        Conditions in the order in which they are shown.
    units : mapping of str to str
        Unit of each feature.
    change : bool
        Whether the means are changes from baseline (a line at zero is drawn).

    Returns
    -------
    matplotlib.figure.Figure or None
        None if there is nothing to draw.
    """
    known = set(means["feature"])
    shown = [name for name in outcomes if name in known][:MAX_PANELS]
    if not shown:
        return None
    present = set(means.loc[means["feature"].isin(shown), "condition"])
    mine = {name: look for name, look in looks.items() if name in present}
    rows = name_rows(phases)
    top = 1.5 + key_rows(mine) * _LINE + _LINE * (max(rows, default=0) + 1) + 5.5
    figure = paper(top + len(shown) * (_HEIGHT + _GAP) - _GAP + _BELOW)
    wide, _ = size_mm(figure)
    for k, feature in enumerate(shown):
        at = top + k * (_HEIGHT + _GAP)
        axis = place(figure, _LEFT, at, wide - _LEFT - _RIGHT, _HEIGHT)
        _shade(axis, phases)
        _draw(axis, means[means["feature"] == feature], mine, list(phases["window"]))
        if change:
            axis.axhline(0, color=INK, linewidth=0.7, zorder=1)
        said = with_unit("Change" if change else "Level", units.get(feature, ""))
        name_axes(axis, y=said, title=outcome_name(feature))
        axis.locator_params(axis="y", nbins=5)
        if k < len(shown) - 1:
            axis.tick_params(axis="x", labelbottom=False, length=0)
        else:
            name_axes(axis, x="Time since start of the session (min)", y=said,
                      title=outcome_name(feature))  # fmt: skip
    _write_names(figure.axes[0], phases, rows)
    key_above(figure, condition_handles(mine))
    return figure


def _shade(axis: Axes, phases: pd.DataFrame) -> None:
    for row in phases.itertuples():
        start, stop = row.onset / 60, (row.onset + row.duration) / 60
        axis.axvspan(start, stop, color=role_color(row.role), alpha=0.1, linewidth=0, zorder=0)
        axis.axvline(start, color=role_color(row.role), linewidth=0.7, zorder=0.5)
    axis.grid(axis="x", visible=False)
    if len(phases):
        axis.set_xlim(_span(phases))


def _span(phases: pd.DataFrame) -> tuple[float, float]:
    start = float(phases["onset"].min()) / 60
    start = 0.0 if 0 <= start < 1 else start
    stop = float((phases["onset"] + phases["duration"]).max()) / 60
    return start, max(stop, start + 1e-3)


def breaks(rows: pd.DataFrame, phases: Sequence[str] = ()) -> NDArray[np.intp]:
    """Find the points of a course before which its line breaks.

    Parameters
    ----------
    rows : DataFrame
        window, time_s; one course in the order of time.
    phases : sequence of str
        All phases in order: a line does not run across one without a point.

    Returns
    -------
    ndarray of int
        Places in `rows`; a line breaks also where points lie more than three times their usual
        distance apart.
    """
    if len(rows) < 2:
        return np.array([], dtype=np.intp)
    steps = np.diff(rows["time_s"].to_numpy(dtype=float))
    windows = rows["window"].astype(str).to_numpy()
    same = windows[1:] == windows[:-1]
    usual = float(np.median(steps[same] if same.any() else steps))
    order = {str(name): k for k, name in enumerate(phases)}
    place = np.array([order.get(name, np.nan) for name in windows], dtype=float)
    return np.flatnonzero((steps > _MOST_STEPS * usual) | (np.diff(place) > 1)) + 1


def _draw(
    axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], phases: Sequence[str] = ()
) -> None:
    for name, look in looks.items():
        mine = rows[rows["condition"] == name].sort_values("time_s", kind="stable")
        at = breaks(mine, phases)
        x, mean, low, high = (
            np.insert(mine[column].to_numpy(dtype=float), at, np.nan)
            for column in ("time_s", "mean", "low", "high")
        )
        x = x / 60
        axis.fill_between(x, low, high, color=look.color, alpha=0.16, linewidth=0, zorder=2)
        # A point that stands alone has no band that could be seen; its interval is a line.
        known = np.concatenate([[False], np.isfinite(x), [False]])
        alone = known[1:-1] & ~known[:-2] & ~known[2:] & np.isfinite(low)
        axis.vlines(x[alone], low[alone], high[alone], color=look.color, linewidth=1.0, zorder=2)
        axis.plot(
            x, mean, color=look.color, linestyle=look.line,
            marker=look.marker, markersize=3.0, markeredgewidth=0, linewidth=1.2, zorder=3,
            label=plain(name) or "no condition", clip_on=False,
        )  # fmt: skip


def name_rows(phases: pd.DataFrame) -> list[int]:
    """Line above the panel on which the name of each phase stands, so that none overlap."""
    if not len(phases):
        return []
    start, stop = _span(phases)
    scale = (183.0 - _LEFT - _RIGHT) / (stop - start)
    ends: list[float] = []
    rows: list[int] = []
    for row in phases.itertuples():
        middle = (row.onset / 60 + row.duration / 120 - start) * scale
        half = len(shorten(_label(row), 24)) * 1.45 / 2 + 0.8
        line = next((k for k, end in enumerate(ends) if end <= middle - half), len(ends))
        if line == len(ends):
            ends.append(0.0)
        ends[line] = middle + half
        rows.append(min(line, 3))
    return rows


def _label(row: object) -> str:
    return str(getattr(row, "label", "")) or str(getattr(row, "window", ""))


def _write_names(axis: Axes, phases: pd.DataFrame, rows: list[int]) -> None:
    for row, line in zip(phases.itertuples(), rows, strict=True):
        axis.annotate(
            plain(shorten(_label(row), 24)),
            ((row.onset + row.duration / 2) / 60, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, (5.0 + line * _LINE) * 72 / 25.4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL_PT,
            color=INK,
            annotation_clip=False,
        )


def recovery_figure(
    means: pd.DataFrame,
    outcomes: Sequence[str],
    looks: Mapping[str, Look],
    units: Mapping[str, str],
) -> Figure | None:
    """Draw the return to baseline: change from baseline over the recovery phase, by condition.

    Parameters
    ----------
    means : DataFrame
        feature, condition, time_s (since the start of recovery; NaN for the level in the task),
        n, mean, low, high.
    outcomes, looks, units
        As for `courses_figure`.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if there is nothing to draw.
    """
    known = set(means.loc[means["time_s"].notna(), "feature"])
    shown = [name for name in outcomes if name in known][:MAX_PANELS]
    if not shown:
        return None
    present = set(means.loc[means["feature"].isin(shown), "condition"])
    mine = {name: look for name, look in looks.items() if name in present}
    columns = 2
    wide, high = 74.0, 42.0
    lines = -(-len(shown) // columns)
    top = 8.0 + key_rows(mine) * _LINE
    figure = paper(top + lines * (high + 15.0) - 4.0)
    for k, feature in enumerate(shown):
        row, column = divmod(k, columns)
        axis = place(figure, 15.0 + column * 91.0, top + row * (high + 15.0), wide, high)
        rows = means[means["feature"] == feature]
        span = float(rows["time_s"].max()) / 60 * 1.03
        _task_levels(axis, rows[rows["time_s"].isna()], mine, max(span, 0.1))
        _draw(axis, rows[rows["time_s"].notna()], mine)
        axis.axhline(0, color=INK, linewidth=0.7, zorder=1)
        axis.axvline(0, color=role_color("recovery"), linewidth=0.9, zorder=1)
        axis.locator_params(axis="y", nbins=6)
        name_axes(
            axis,
            x="Time since start of recovery (min)",
            y=with_unit("Change from baseline", units.get(feature, "")),
            title=outcome_name(feature),
        )
    key_above(figure, condition_handles(mine))
    return figure


def _task_levels(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], span: float) -> None:
    """Mean change during the task, left of the line where recovery starts."""
    from matplotlib.ticker import MaxNLocator

    ticks = [
        float(tick) for tick in MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(0.0, span)
    ]
    ticks = [tick for tick in ticks if 0 <= tick <= span]
    labels = [f"{tick:g}" for tick in ticks]
    left = 0.0
    if len(rows):
        left = -0.16 * span
        ticks, labels = [left / 2, *ticks], ["task", *labels]
    shifts = left / 2 + np.linspace(-0.03, 0.03, len(looks)) * span
    for (name, look), x in zip(looks.items(), shifts, strict=True):
        row = rows[rows["condition"] == name]
        if not len(row):
            continue
        mean, low, high = (float(row[c].iloc[0]) for c in ("mean", "low", "high"))
        axis.vlines(x, low, high, color=look.color, linewidth=1.2, zorder=2)
        axis.plot(
            [x], [mean], color=look.color, marker=look.marker, markersize=4.2,
            markerfacecolor="white", markeredgewidth=1.0, linestyle="none", zorder=3,
        )  # fmt: skip
    axis.set_xlim(left, span)
    axis.set_xticks(ticks, labels)
