"""Quality over all sessions: how many are good, fair or poor, per stream and phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from physio_hqc.report._study_style import SMALL_PT, key_above, name_axes, paper, place
from physio_hqc.report._style import FAINT, INK, VERDICT_COLORS
from physio_hqc.report._verdict import verdict
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HATCH: Final = {"good": "", "fair": "////", "poor": "xxxx", "not checked": "...."}
MAX_ROWS: Final = 24


def quality_counts(quality: pd.DataFrame) -> pd.DataFrame:
    """Count sessions by verdict, per stream and phase.

    Parameters
    ----------
    quality : DataFrame
        session, stream, window, kind, onset, quality, usable_share, corrected_share.

    Returns
    -------
    DataFrame
        stream, window, sessions, usable (median share), corrected (median share), good, fair,
        poor, not checked; in the order of stream and time.
    """
    rows = quality[quality["kind"] == "phase"]
    if not len(rows):
        rows = quality[quality["kind"] == "interaction"]
    names = ["stream", "window", "sessions", "usable", "corrected", *VERDICT_COLORS]
    if not len(rows):
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    words = [
        verdict(usable, value, corrected)
        for usable, value, corrected in zip(
            rows["usable_share"], rows["quality"], rows["corrected_share"], strict=True
        )
    ]
    rows = rows.assign(verdict=words)
    groups = rows.groupby(["stream", "window"], sort=False)
    made = groups.agg(
        sessions=("session", "nunique"),
        usable=("usable_share", "median"),
        corrected=("corrected_share", "median"),
        onset=("onset", "median"),
    )
    counts = rows.groupby(["stream", "window", "verdict"]).size().unstack(fill_value=0)
    made = made.join(counts.reindex(columns=list(VERDICT_COLORS), fill_value=0)).reset_index()
    order = {name: k for k, name in enumerate(dict.fromkeys(rows["stream"]))}
    made = made.assign(_stream=made["stream"].map(order))
    return made.sort_values(["_stream", "onset"], kind="stable", ignore_index=True)[names]


def study_quality_figure(quality: pd.DataFrame) -> Figure | None:
    """Draw the share of sessions that are good, fair and poor, a bar per stream and phase.

    Parameters
    ----------
    quality : DataFrame
        As for `quality_counts`.

    Returns
    -------
    matplotlib.figure.Figure or None
        None without a quality table.
    """
    from matplotlib.patches import Patch

    table = quality_counts(quality).head(MAX_ROWS)
    if not len(table):
        return None
    high = 4.6 * len(table)
    figure = paper(7.0 + high + 9.0)
    axis = place(figure, 44.0, 7.0, 134.0, high)
    y = np.arange(len(table))
    total = table[list(VERDICT_COLORS)].sum(axis=1).to_numpy(dtype=float)
    start = np.zeros(len(table))
    used = [word for word in VERDICT_COLORS if table[word].sum()]
    for word in used:
        counts = table[word].to_numpy(dtype=float)
        share = 100 * counts / np.maximum(total, 1)
        axis.barh(y, share, left=start, height=0.74, color=VERDICT_COLORS[word], alpha=0.55,
                  hatch=_HATCH[word], edgecolor="white", linewidth=0.4)  # fmt: skip
        for k in np.flatnonzero(share >= 3):
            axis.text(
                start[k] + share[k] / 2, y[k], f"{counts[k]:.0f}", fontsize=SMALL_PT, color=INK,
                ha="center", va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )  # fmt: skip
        start += share
    names = [
        plain(f"{shorten(str(row.stream), 12)}: {shorten(str(row.window), 20)}")
        for row in table.itertuples()
    ]
    axis.set_yticks(y, names)
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", color=FAINT, linewidth=0.4)
    name_axes(axis, x="Sessions (%)")
    handles = [
        Patch(facecolor=VERDICT_COLORS[word], alpha=0.55, hatch=_HATCH[word], edgecolor="white",
              label=word)
        for word in used
    ]  # fmt: skip
    key_above(figure, handles)
    return figure
