"""Quality per window and stream: numbers in a grid, and their course over the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.report._format import DASH
from physio_hqc.report._style import FAINT, INK, VERDICT_COLORS, panels
from physio_hqc.report._verdict import window_verdict
from physio_hqc.report.figures._shade import name_windows, plain, shade, shorten, time_axis, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.figure import Figure

_MAX_COLUMNS = 24


def quality_figure(quality: pd.DataFrame, windows: pd.DataFrame, duration_s: float) -> Figure:
    """Draw the usable share of every stream, per window and over time.

    Parameters
    ----------
    quality : DataFrame
        stream, window, kind, onset, duration (s), quality, usable_share, corrected_share.
    windows : DataFrame
    duration_s : float

    Returns
    -------
    matplotlib.figure.Figure
    """
    streams = list(dict.fromkeys(quality["stream"]))
    named = quality[quality["kind"] != "sliding"]
    sliding = quality[quality["kind"] == "sliding"]
    columns = list(dict.fromkeys(named["window"]))[:_MAX_COLUMNS]
    heights = [max(0.36 * len(streams), 0.5)] if columns else []
    heights += [max(0.3 * len(streams), 0.45)] if len(sliding) else []
    figure, axes = panels(heights, share_x=False, top=1.0 if columns else 0.35, gap=0.55, left=1.0)
    if columns:
        _draw_grid(axes[0], named, streams, columns)
    if len(sliding):
        _draw_course(axes[-1], sliding, streams, windows, duration_s)
    _key(figure, axes[0], above=bool(columns))
    return figure


def _draw_grid(axis: Axes, quality: pd.DataFrame, streams: list[str], columns: list[str]) -> None:
    """One cell per stream and window: the colour of the verdict and the usable share."""
    axis.grid(visible=False)
    for row in quality[quality["window"].isin(columns)].itertuples():
        x, y = columns.index(row.window), streams.index(row.stream)
        color = VERDICT_COLORS[window_verdict(row)]
        axis.broken_barh(
            [(x + 0.03, 0.94)], (y + 0.06, 0.88), facecolor=color, alpha=0.28, linewidth=0
        )
        axis.broken_barh([(x + 0.03, 0.94)], (y + 0.06, 0.1), facecolor=color, linewidth=0)
        share = row.usable_share if np.isfinite(row.usable_share) else row.quality
        text = f"{100 * share:.0f}" if np.isfinite(share) else DASH
        axis.text(x + 0.5, y + 0.55, text, ha="center", va="center", fontsize=8.5, color=INK)
    axis.set_xlim(0, len(columns))
    axis.set_ylim(len(streams), 0)
    _name_rows(axis, streams)
    axis.xaxis.set_ticks_position("top")
    axis.tick_params(length=0)
    letters = max(8, 150 // len(columns))
    axis.set_xticks(
        np.arange(len(columns)) + 0.5,
        [_wrap(name, letters) for name in columns],
        rotation=0 if len(columns) <= 12 else 40,
        ha="center" if len(columns) <= 12 else "left",
        fontsize=8,
    )
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)


def _wrap(name: str, letters: int) -> str:
    """Break a window's name at an underscore, so that neighbours do not touch."""
    lines = [""]
    for word in name.split("_"):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > letters:
            lines.append("")
        lines[-1] = f"{lines[-1]}_{word}" if lines[-1] else word
    return "\n".join(plain(shorten(line, letters) or line[:letters]) for line in lines[:3])


def _draw_course(
    axis: Axes,
    quality: pd.DataFrame,
    streams: list[str],
    windows: pd.DataFrame,
    duration_s: float,
) -> None:
    """One lane per stream: the usable share of sliding windows as a filled curve."""
    unit_s = whole(duration_s)
    shade(axis, windows, unit_s)
    name_windows(axis, windows, duration_s)
    axis.grid(visible=False)
    for index, stream in enumerate(streams):
        rows = quality[quality["stream"] == stream].sort_values("onset", kind="stable")
        if not len(rows):
            continue
        middle = (rows["onset"] + rows["duration"] / 2).to_numpy(dtype=float) / unit_s
        share = rows["usable_share"].fillna(rows["quality"]).to_numpy(dtype=float)
        step = float(np.median(np.diff(middle))) if len(middle) > 1 else 1.0
        height = 0.85 * np.where(np.isfinite(share), share, 1.0)
        colors = [VERDICT_COLORS[window_verdict(row)] for row in rows.itertuples()]
        axis.add_collection(_bars(middle, height, step, index + 0.95, colors))
        axis.axhline(index + 0.95, color=FAINT, linewidth=0.8)
    axis.set_ylim(len(streams), 0)
    _name_rows(axis, streams)
    time_axis(axis, duration_s)


def _bars(
    middle: NDArray[np.float64],
    height: NDArray[np.float64],
    width: float,
    floor: float,
    colors: list[str],
) -> Collection:
    """Many bars as one artist, which draws a hundred times faster than one artist each."""
    from matplotlib.collections import PolyCollection

    left, right = middle - width / 2, middle + width / 2
    upper, lower = floor - height, np.full(len(middle), floor)
    corners = np.stack([left, lower, left, upper, right, upper, right, lower], axis=-1)
    return PolyCollection(
        list(corners.reshape(-1, 4, 2)), facecolors=colors, linewidths=0, zorder=2
    )


def _name_rows(axis: Axes, streams: list[str]) -> None:
    labels = [plain(shorten(name, 12) or name[:12]) for name in streams]
    axis.set_yticks(np.arange(len(streams)) + 0.5, labels, fontsize=9)
    axis.tick_params(axis="y", length=0)


def _key(figure: Figure, axis: Axes, *, above: bool) -> None:
    """Explain the three colours in words."""
    from matplotlib.patches import Patch

    handles = [Patch(color=VERDICT_COLORS[word], label=word) for word in VERDICT_COLORS]
    height = figure.get_figheight()
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.985, 1.0 - 0.02 / height),
        ncols=4,
        fontsize=8,
        frameon=False,
    )
    if above:
        figure.text(
            axis.get_position().x0, 1.0 - 0.18 / height,
            "Usable share of the signal (%) per window", fontsize=9, color=INK, va="center",
        )  # fmt: skip
