"""Electrodermal activity: the signal with its tonic part, and the phasic part with its SCRs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._style import BLUE, INK, PURPLE, VERMILLION, key, panels, y_label
from physio_hqc.report._traces import array_trace, display_range
from physio_hqc.report.figures._shade import key_over_names, name_windows, shade, time_axis, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def eda_figure(
    trace: pd.DataFrame,
    scr: pd.DataFrame,
    windows: pd.DataFrame,
    duration_s: float,
    *,
    max_points: int = 4000,
) -> Figure:
    """Draw skin conductance with its tonic level, and the phasic part with its responses.

    Parameters
    ----------
    trace : DataFrame
        time_s, eda, tonic, phasic (µS); NaN where missing.
    scr : DataFrame
        onset_s, peak_s, amplitude (µS) of every response that counts.
    windows : DataFrame
    duration_s : float
    max_points : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (upper, lower) = panels([1.9, 1.6], top=0.55, gap=0.3)
    unit_s = whole(duration_s)
    times = trace["time_s"].to_numpy(dtype=float)
    for axis in (upper, lower):
        shade(axis, windows, unit_s)
    name_windows(upper, windows, duration_s)
    for axis, column, color, width, words in (
        (upper, "eda", PURPLE, 0.9, "skin conductance"),
        (upper, "tonic", INK, 1.3, "tonic level"),
        (lower, "phasic", PURPLE, 0.9, "phasic part"),
    ):
        thin = array_trace(times, trace[column].to_numpy(dtype=float), max_points // 2)
        axis.plot(
            thin.times / unit_s, thin.values[:, 0], color=color, linewidth=width, label=words,
            zorder=2.5 if column == "tonic" else 2,
        )  # fmt: skip
    _mark_responses(lower, trace, scr, unit_s)
    for axis, columns in ((upper, ("eda", "tonic")), (lower, ("phasic",))):
        limits = display_range(trace[list(columns)].to_numpy(dtype=float))
        if limits:
            axis.set_ylim(*limits[:2])
        axis.locator_params(axis="y", nbins=5)
    y_label(upper, "EDA (µS)")
    y_label(lower, "Phasic (µS)")
    key(lower)
    key_over_names(upper)
    time_axis(lower, duration_s)
    return figure


def _mark_responses(axis: Axes, trace: pd.DataFrame, scr: pd.DataFrame, unit_s: float) -> None:
    """Mark onset and peak of every response on the phasic part."""
    if len(trace) < 2:
        return
    times, phasic = trace["time_s"].to_numpy(dtype=float), trace["phasic"].to_numpy(dtype=float)
    for column, marker, size, color, words in (
        ("onset_s", "|", 5, BLUE, "SCR onset"),
        ("peak_s", "v", 3.5, VERMILLION, f"SCR peak ({len(scr)})"),
    ):
        where = scr[column].to_numpy(dtype=float)
        axis.plot(
            where / unit_s, np.interp(where, times, phasic), marker, color=color, markersize=size,
            linestyle="", label=words, zorder=3,
        )  # fmt: skip
