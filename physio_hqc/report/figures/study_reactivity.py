"""Reactivity by condition: every participant a point, every condition a mean with its interval."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._study_courses import spread_out
from physio_hqc.report._study_style import (
    Look,
    condition_handles,
    key_above,
    key_rows,
    name_axes,
    paper,
    place,
)
from physio_hqc.report._study_words import outcome_name, with_unit
from physio_hqc.report._style import INK
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 9
_MOST_CLOUDS = 24
_MAX_MM = 240.0
_TOTAL, _LEFT, _RIGHT, _GAP, _HIGH, _ROOM = 183.0, 13.0, 2.0, 14.0, 44.0, 15.0
_LETTER, _LINE, _MOST_LETTERS = 1.5, 3.2, 24
_BREAKS = re.compile(r"(?<=[_ \-/.])")


def reactivity_pages(
    outcomes: Sequence[str], windows: Sequence[str], conditions: int
) -> list[tuple[list[str], list[str]]]:
    """Spread outcomes and windows over figures that hold all of them.

    Parameters
    ----------
    outcomes, windows : sequence of str
        What is drawn, in order.
    conditions : int
        Clouds of points per window.

    Returns
    -------
    list of tuple
        Outcomes and windows of each figure.

    Examples
    --------
    >>> [len(names) for _, names in reactivity_pages(["f"], list("abcdefghij"), 3)]
    [5, 5]
    """
    if not outcomes or not windows:
        return []
    most = max(1, _MOST_CLOUDS // max(conditions, 1))
    groups = -(-len(windows) // most)
    each = -(-len(windows) // groups)
    pages = []
    for k in range(0, len(windows), each):
        names = list(windows[k : k + each])
        columns = _columns(len(outcomes), len(names) * conditions)
        _, below = _labels(names, _wide(columns) / len(names))
        lines = max(1, int((_MAX_MM - 12.0) // (_HIGH + _ROOM + below)))
        panels = min(MAX_PANELS, columns * lines)
        pages += [(list(outcomes[j : j + panels]), names) for j in range(0, len(outcomes), panels)]
    return pages


def study_reactivity_figure(
    points: pd.DataFrame,
    summary: pd.DataFrame,
    outcomes: Sequence[str],
    windows: Sequence[str],
    looks: Mapping[str, Look],
    units: Mapping[str, str],
    doubtful: Collection[tuple[str, str]] = (),
) -> Figure | None:
    """Draw change from baseline per task window and condition, one panel per outcome.

    Parameters
    ----------
    points : DataFrame
        feature, window, condition, delta: one row per participant.
    summary : DataFrame
        feature, window, condition, mean, low, high: the marks beside the points.
    outcomes, windows : sequence of str
        Panels, at most nine, and places on the axis, in order (`reactivity_pages`).
    looks : mapping of str to Look
        Conditions in order.
    units : mapping of str to str
    doubtful : collection of tuple
        Outcomes and windows that get a dagger, for the caution on speech.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if there is nothing to draw.
    """
    rows = points[points["delta"].notna()]
    shown = [name for name in outcomes if name in set(rows["feature"])][:MAX_PANELS]
    places = [name for name in windows if name in set(rows["window"])]
    if not shown or not places:
        return None
    present = set(rows["condition"])
    mine = {name: look for name, look in looks.items() if name in present}
    columns = _columns(len(shown), len(places) * len(mine))
    lines = -(-len(shown) // columns)
    top = 8.0 + 4.0 * key_rows(mine)
    wide = _wide(columns)
    labels, below = _labels(places, wide / len(places))
    room = _ROOM + below
    figure = paper(top + lines * (_HIGH + room) - 5.0)
    for k, feature in enumerate(shown):
        row, column = divmod(k, columns)
        at = (_LEFT + column * (wide + _GAP), top + row * (_HIGH + room))
        axis = place(figure, *at, wide, _HIGH)
        _panel(axis, rows[rows["feature"] == feature],
               summary[summary["feature"] == feature], places, mine)  # fmt: skip
        marked = ["†" if (feature, window) in doubtful else "" for window in places]
        axis.set_xticks(
            np.arange(len(places)), [a + b for a, b in zip(labels, marked, strict=True)]
        )
        axis.tick_params(axis="x", length=0, labelsize=7.5,
                         rotation=0 if _fits(labels, wide / len(places)) else 90)  # fmt: skip
        said = with_unit("Change from baseline", units.get(feature, ""))
        name_axes(axis, y=said, title=outcome_name(feature))
    key_above(figure, condition_handles(mine, line=False))
    return figure


def _columns(panels: int, clouds: int) -> int:
    """Panels beside each other, so that a cloud of points keeps some six millimeters."""
    most = 3 if clouds <= 8 else 2 if clouds <= 14 else 1
    return max(1, min(most, panels))


def _wide(columns: int) -> float:
    """Width of a panel in mm."""
    return (_TOTAL - _LEFT - _RIGHT - (columns - 1) * _GAP) / columns


def _labels(windows: Sequence[str], room: float) -> tuple[list[str], float]:
    """Names of windows, wrapped into their room or else to be turned, and their height below."""
    names = [shorten(name, _MOST_LETTERS) for name in windows]
    wrapped = [_wrapped(name, room) for name in names]
    if _fits(wrapped, room):
        return [plain(name) for name in wrapped], _LINE * max(n.count("\n") for n in wrapped)
    return [plain(name) for name in names], _LETTER * max(len(name) for name in names) - _LINE


def _fits(labels: Sequence[str], room: float) -> bool:
    """Whether every line of the labels is as narrow as the room, with a dagger behind it."""
    longest = max(len(line) for label in labels for line in label.split("\n"))
    return (longest + 1) * _LETTER <= room


def _wrapped(name: str, room: float) -> str:
    """Break a name after underscores, blanks and hyphens."""
    lines = [""]
    for part in _BREAKS.split(name):
        if lines[-1] and (len(lines[-1]) + len(part) + 1) * _LETTER > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


def _panel(
    axis: Axes,
    points: pd.DataFrame,
    summary: pd.DataFrame,
    windows: Sequence[str],
    looks: Mapping[str, Look],
) -> None:
    step = 0.84 / len(looks)
    for w, window in enumerate(windows):
        for k, (name, look) in enumerate(looks.items()):
            x = w + (k - (len(looks) - 1) / 2) * step
            here = points[(points["window"] == window) & (points["condition"] == name)]
            _cloud(axis, x, here["delta"].to_numpy(dtype=float), look, step)
            marks = summary[(summary["window"] == window) & (summary["condition"] == name)]
            if len(marks):
                _mean(axis, x + step * 0.34, marks.iloc[0], look, name)
    axis.axhline(0, color=INK, linewidth=0.7, zorder=1)
    axis.set_xlim(-0.55, len(windows) - 0.45)
    axis.locator_params(axis="y", nbins=6)
    for border in range(1, len(windows)):
        axis.axvline(border - 0.5, color="#D5D9DE", linewidth=0.6, zorder=0.5)


def _cloud(axis: Axes, x: float, values: np.ndarray, look: Look, step: float) -> None:
    size = 2.6 if len(values) <= 60 else 1.7
    axis.plot(
        x - step * 0.1 + spread_out(values, step * 0.6), values, look.marker, color=look.color,
        markersize=size, alpha=0.5, markeredgewidth=0, zorder=2, gid="points",
    )  # fmt: skip


def _mean(axis: Axes, x: float, row: pd.Series, look: Look, name: str) -> None:
    mean, low, high = (float(row[column]) for column in ("mean", "low", "high"))
    if np.isfinite(low) and np.isfinite(high):
        axis.vlines(x, low, high, color=look.color, linewidth=1.3, zorder=3)
        axis.plot([x, x], [low, high], "_", color=look.color, markersize=5.0, markeredgewidth=1.0,
                  zorder=3)  # fmt: skip
    axis.plot(
        [x], [mean], look.marker, color=look.color, markersize=3.8, markeredgecolor="white",
        markeredgewidth=0.5, zorder=4, gid="mean", label=plain(name),
    )  # fmt: skip
