"""Planned contrasts as a forest plot: estimates in the unit of the outcome, and Hedges g."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from physio_hqc.report._study_style import SMALL_PT, key_above, name_axes, paper, place
from physio_hqc.report._study_words import (
    contrast_name,
    effect,
    estimate,
    interval,
    outcome_name,
    p_value,
    with_unit,
)
from physio_hqc.report._style import BLUE, FAINT, GREEN, INK, ORANGE, VERMILLION
from physio_hqc.report.figures._shade import plain

if TYPE_CHECKING:
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_MM = 225.0
_WAYS: Final = {
    ("ANCOVA", "robust"): (INK, "o", True),
    ("ANCOVA", "classical"): (INK, "s", False),
    ("mixed model", "robust"): (BLUE, "D", True),
    ("mixed model", "classical"): (BLUE, "D", False),
    ("delta", "robust"): (VERMILLION, "^", True),
    ("delta", "classical"): (VERMILLION, "^", False),
}
"""Colour, marker and whether it is filled; filled stands for robust standard errors."""
Group = tuple[str, str]
"""Outcome and window: one pair of panels."""

_MOST_G: Final = 4.0
"""Panels share the axis of g, except those with effects so large that the others would vanish."""
_G_AT: Final = 0.76
_ROW, _HEAD, _FOOT = 3.4, 6.5, 9.5
_BOXES: Final = {"unit": (37.0, 48.0), "g": (89.0, 34.0), "words": (125.0, 57.0)}


def way_name(analysis: str, errors: str) -> str:
    """Name of an analysis as the legend shows it."""
    return analysis if not errors else f"{analysis}, {errors}"


def forest_pages(contrasts: pd.DataFrame, outcomes: Sequence[str]) -> list[list[Group]]:
    """Part outcomes and windows into figures that are no higher than a printed page.

    Parameters
    ----------
    contrasts : DataFrame
        As for `forest_figure`.
    outcomes : sequence of str
        Order of the outcomes.

    Returns
    -------
    list of list of tuple
        Outcome and window of each pair of panels, per figure.
    """
    rows = contrasts[contrasts["estimate"].notna()]
    pages: list[list[Group]] = []
    used = MAX_MM
    for outcome in outcomes:
        mine = rows[rows["outcome"] == outcome]
        for window in dict.fromkeys(mine["window"]):
            part = mine[mine["window"] == window]
            height = _height(len(part), part["term"].nunique()) + _HEAD + _FOOT
            if used + height > MAX_MM:
                pages.append([])
                used = 0.0
            pages[-1].append((outcome, window))
            used += height
    return pages


def _height(rows: int, terms: int) -> float:
    return _ROW * (rows + 0.6 * terms) + 1.0


def forest_figure(
    contrasts: pd.DataFrame,
    groups: Sequence[Group],
    units: Mapping[str, str],
    level: str = "95 %",
    doubtful: Collection[Group] = (),
) -> Figure | None:
    """Draw estimate and confidence interval of every contrast and every analysis.

    Parameters
    ----------
    contrasts : DataFrame
        outcome, window, analysis, errors, main, term, estimate, ci_low, ci_high, hedges_g,
        g_low, g_high, p_holm.
    groups : sequence of tuple
        Outcome and window of each pair of panels (`forest_pages`).
    units : mapping of str to str
    level : str
        Level of the intervals, for the heading; that of p goes with it.
    doubtful : collection of tuple
        Outcomes and windows that get a dagger, for the caution on speech.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if there is no estimate.
    """
    rows = contrasts[contrasts["estimate"].notna()]
    if not groups or not len(rows):
        return None
    shown = pd.MultiIndex.from_frame(rows[["outcome", "window"]]).isin(list(groups))
    rows = rows[shown].sort_values("main", ascending=False, kind="stable")
    ways = list(dict.fromkeys(zip(rows["analysis"], rows["errors"], strict=True)))
    rows = rows.sort_index()
    parts = [_group(rows, outcome, window, ways) for outcome, window in groups]
    heights = [_height(len(part), part["term"].nunique()) for part in parts]
    lines = -(-len(ways) // 3)
    top = 7.0 + 4.0 * lines
    figure = paper(top + sum(heights) + len(parts) * (_HEAD + _FOOT) - _HEAD)
    at = top
    reach = [_reach(part) for part in parts]
    common = max((own for own in reach if own <= _MOST_G), default=1.0)
    for (outcome, window), part, height, own in zip(groups, parts, heights, reach, strict=True):
        unit = units.get(outcome, "")
        left = place(figure, _BOXES["unit"][0], at, _BOXES["unit"][1], height)
        _estimates(left, part, ("estimate", "ci_low", "ci_high"))
        _terms(left, part)
        name_axes(left, x=with_unit("Difference", unit),
                  title=f"{outcome_name(outcome)}: {plain(window)}"
                  f"{'†' if (outcome, window) in doubtful else ''}")  # fmt: skip
        right = place(figure, _BOXES["g"][0], at, _BOXES["g"][1], height)
        _estimates(right, part, ("hedges_g", "g_low", "g_high"))
        right.set_yticks([])
        right.set_xlim(-max(own, common), max(own, common))
        name_axes(right, x="Hedges g")
        _words(figure, part, unit, (at, height), level)
        at += height + _HEAD + _FOOT
    key_above(figure, _handles(ways), columns=3)
    return figure


def _group(
    rows: pd.DataFrame, outcome: str, window: str, ways: list[tuple[str, str]]
) -> pd.DataFrame:
    """Rows of one panel with their places: contrasts in order, analyses within them."""
    mine = rows[(rows["outcome"] == outcome) & (rows["window"] == window)].copy()
    terms = list(dict.fromkeys(mine["term"]))
    mine["_term"] = mine["term"].map({term: k for k, term in enumerate(terms)})
    order = [ways.index(way) for way in zip(mine["analysis"], mine["errors"], strict=True)]
    mine["_way"] = order
    mine["_first"] = ~mine["main"]
    mine = mine.sort_values(["_term", "_first", "_way"], kind="stable", ignore_index=True)
    mine["_y"] = np.arange(len(mine)) + 0.6 * mine["_term"]
    return mine


def _reach(rows: pd.DataFrame) -> float:
    ends = rows[["hedges_g", "g_low", "g_high"]].abs().to_numpy(dtype=float)
    ends = ends[np.isfinite(ends)]
    return float(ends.max()) * 1.08 if ends.size and ends.max() > 0 else 1.0


def _look(way: tuple[str, str]) -> tuple[str, str, bool]:
    analysis, errors = way
    if way in _WAYS:
        return _WAYS[way]
    color, marker, _ = _WAYS.get((analysis, "robust"), (GREEN, "v", True))
    if errors.startswith("robust:"):
        return ORANGE if "Huber" in errors else GREEN, marker, True
    return color, marker, errors.startswith("robust")


def _estimates(axis: Axes, rows: pd.DataFrame, columns: tuple[str, str, str]) -> None:
    for row in rows.itertuples():
        value, low, high = (float(getattr(row, name)) for name in columns)
        if not np.isfinite(value):
            continue
        color, marker, filled = _look((row.analysis, row.errors))
        y = rows.loc[row.Index, "_y"]
        if np.isfinite(low) and np.isfinite(high):
            axis.hlines(y, low, high, color=color, linewidth=1.5 if row.main else 0.9, zorder=2)
        axis.plot(
            [value], [y], marker, color=color, zorder=3,
            markersize=4.6 if row.main else 3.4,
            markerfacecolor=color if filled else "white", markeredgewidth=0.9,
        )  # fmt: skip
    axis.axvline(0, color=INK, linewidth=0.7, zorder=1)
    axis.set_ylim(float(rows["_y"].max()) + 0.8, -0.8)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", color=FAINT, linewidth=0.4)
    axis.locator_params(axis="x", nbins=5 if columns[0] == "estimate" else 4)


def _terms(axis: Axes, rows: pd.DataFrame) -> None:
    """Name the contrasts at the left; a line parts them."""
    middles = rows.groupby("term", sort=False)["_y"].mean()
    names = [plain(contrast_name(str(term), 24, lines=2)) for term in middles.index]
    axis.set_yticks(middles.to_numpy(dtype=float), names)
    axis.tick_params(axis="y", length=0, labelsize=SMALL_PT)


def _words(
    figure: Figure, rows: pd.DataFrame, unit: str, box: tuple[float, float], level: str
) -> None:
    """Write the numbers of every row at the right; those of the primary analysis are bold."""
    axis = place(figure, _BOXES["words"][0], box[0], _BOXES["words"][1], box[1])
    axis.set_axis_off()
    axis.set_ylim(float(rows["_y"].max()) + 0.8, -0.8)
    axis.set_xlim(0, 1)
    alpha = 1 - float(level.removesuffix(" %")) / 100
    for row in rows.itertuples():
        y = float(rows.loc[row.Index, "_y"])
        weight = "bold" if row.main else "normal"
        ends = row.ci_low, row.ci_high
        said = f"{estimate(row.estimate, *ends, unit)} {interval(*ends, unit)}"
        for x, text, side in (
            (0.0, said, "left"),
            (_G_AT, effect(row.hedges_g), "right"),
            (1.0, p_value(row.p_holm, alpha=alpha), "right"),
        ):
            axis.text(x, y, text, fontsize=SMALL_PT, color=INK, va="center", ha=side,
                      fontweight=weight)  # fmt: skip
    for x, text, side in (
        (0.0, f"Difference [{level} CI]", "left"),
        (_G_AT, "g", "right"),
        (1.0, "p (Holm)", "right"),
    ):
        axis.annotate(text, (x, 1.0), xycoords="axes fraction", xytext=(0, 3), ha=side,
                      textcoords="offset points", fontsize=SMALL_PT, color=INK)  # fmt: skip


def _handles(ways: list[tuple[str, str]]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = []
    for way in ways:
        color, marker, filled = _look(way)
        handles.append(
            Line2D([], [], color=color, marker=marker, markersize=4, linewidth=1.0,
                   markerfacecolor=color if filled else "white", label=plain(way_name(*way)))
        )  # fmt: skip
    return handles
