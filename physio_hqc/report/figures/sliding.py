"""Sliding windows as curves over the session, instead of a table nobody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._features import needs_speech_caution, present_headlines, speech_matters
from physio_hqc.report._style import BLUE, INK, PURPLE, VERMILLION, panels, y_label
from physio_hqc.report._traces import broken_at_pauses
from physio_hqc.report.figures._shade import name_windows, shade, time_axis, whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {"HRV": INK, "ECG": INK, "BP": BLUE, "CUFF": BLUE, "EDA": PURPLE, "SCR": PURPLE}


def sliding_figure(
    features: pd.DataFrame, windows: pd.DataFrame, duration_s: float
) -> Figure | None:
    """Draw the headline measures of sliding windows at the middle of each window.

    Parameters
    ----------
    features : DataFrame
        kind, window, onset, duration (s), feature, value, unit.
    windows : DataFrame
    duration_s : float

    Returns
    -------
    matplotlib.figure.Figure or None
        None if no sliding window has a value.
    """
    sliding = features[features["kind"] == "sliding"]
    named = [h for h in present_headlines(sliding) if not h.feature.startswith("CUFF_")]
    if not named:
        return None
    figure, axes = panels([0.95] * len(named), top=0.35)
    unit_s = whole(duration_s)
    name_windows(axes[0], windows, duration_s)
    speech = dict(zip(windows["window"], speech_matters(windows), strict=True))
    for axis, headline in zip(axes, named, strict=True):
        feature = headline.feature
        shade(axis, windows, unit_s)
        rows = sliding[sliding["feature"] == feature].sort_values("onset", kind="stable")
        middle = (rows["onset"] + rows["duration"] / 2).to_numpy(dtype=float)
        values = rows["value"].to_numpy(dtype=float)
        step = np.median(np.diff(middle)) if len(middle) > 1 else 0.0
        middle, values = broken_at_pauses(middle, values, 2.5 * step)
        color = _COLORS.get(feature.split("_")[0], INK)
        axis.plot(
            middle / unit_s, values, "-", color=color, linewidth=1.1, marker=".", markersize=3
        )
        spoken = [needs_speech_caution(feature, speech.get(w, False)) for w in rows["window"]]
        warned = rows[np.array(spoken, dtype=bool)]
        axis.plot(
            (warned["onset"] + warned["duration"] / 2) / unit_s, warned["value"], "o",
            color=VERMILLION, markersize=3.5, linestyle="", zorder=3,
        )  # fmt: skip
        unit = str(rows["unit"].iloc[0])
        mark = "†" if len(warned) else ""
        y_label(axis, f"{headline.short}{mark}\n({unit})" if unit != "1" else headline.short)
        axis.locator_params(axis="y", nbins=4)
    time_axis(axes[-1], duration_s)
    return figure
