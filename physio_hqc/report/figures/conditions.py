"""Reactivity by condition: every session a dot, every condition a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._features import Headline
from physio_hqc.report._study_style import looks
from physio_hqc.report._style import INK, grid, key
from physio_hqc.report.figures._shade import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CONDITIONS = 6


def conditions_figure(scores: pd.DataFrame, headlines: Sequence[Headline]) -> Figure | None:
    """Draw delta from baseline per window and condition, one panel per headline measure.

    Parameters
    ----------
    scores : DataFrame
        session, condition, window, onset, feature, unit, delta.
    headlines : sequence of Headline
        The panels.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if there is nothing to draw.
    """
    rows = scores[scores["delta"].notna()]
    if not headlines or not len(rows):
        return None
    windows = list(dict.fromkeys(rows.sort_values("onset", kind="stable")["window"]))[:6]
    conditions = list(dict.fromkeys(rows["condition"]))[:_MOST_CONDITIONS]
    figure, axes = grid(len(headlines), columns=3, height_in=1.7)
    for axis, headline in zip(axes, headlines, strict=True):
        _draw(axis, headline, rows[rows["feature"] == headline.feature], windows, conditions)
    key(axes[0], columns=1, above=False)
    return figure


def _draw(
    axis: Axes, headline: Headline, rows: pd.DataFrame, windows: list[str], conditions: list[str]
) -> None:
    look_of = looks(conditions)
    for k, condition in enumerate(conditions):
        look = look_of[condition]
        mine = rows[rows["condition"] == condition]
        place = mine["window"].map({name: x for x, name in enumerate(windows)})
        shift = (k - (len(conditions) - 1) / 2) * 0.24
        keep = place.notna()
        x, y = place[keep].to_numpy(dtype=float) + shift, mine.loc[keep, "delta"].to_numpy(float)
        axis.plot(
            x, y, look.marker, color=look.color, markersize=4.5, alpha=0.75, markeredgewidth=0,
            label=plain(condition) or "no condition",
        )  # fmt: skip
        means = pd.Series(y).groupby(x).mean()
        axis.hlines(
            means.to_numpy(), means.index - 0.1, means.index + 0.1, color=look.color, lw=2.2
        )
    axis.axhline(0, color=INK, linewidth=0.9, zorder=1)
    axis.set_xlim(-0.6, len(windows) - 0.4)
    axis.set_xticks(np.arange(len(windows)), [plain(name[:14]) for name in windows], fontsize=8)
    axis.tick_params(axis="x", length=0)
    axis.locator_params(axis="y", nbins=5)
    unit = str(rows["unit"].iloc[0]) if len(rows) else ""
    said = "" if unit in ("", "1") else f" ({unit})"
    axis.set_title(f"Δ {headline.name}{said}", fontsize=9.5, loc="left", color=INK, pad=6)
