"""Beat-to-beat pressure with cuff readings, and the waveform close up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from physio_hqc.report._style import (
    BLUE,
    INK,
    VERMILLION,
    key,
    panels,
    role_color,
    y_label,
)
from physio_hqc.report._traces import array_trace, broken_at_pauses, display_range
from physio_hqc.report.figures._shade import (
    key_over_names,
    name_windows,
    plain,
    shade,
    shorten,
    time_axis,
    whole,
)
from physio_hqc.report.figures.ecg import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from physio_hqc.session import Stream

_PAUSE_S = 3.0
"""No line is drawn between beats that are further apart: a gap, or a calibration."""

_LINES = (("SBP", VERMILLION), ("MAP", INK), ("DBP", BLUE))


def pressure_figure(
    beats: pd.DataFrame,
    cuff: pd.DataFrame,
    windows: pd.DataFrame,
    duration_s: float,
    *,
    max_points: int = 4000,
) -> Figure:
    """Draw SBP, MAP and DBP of every beat, with invalid beats and cuff readings.

    Parameters
    ----------
    beats : DataFrame
        systole_s, SBP, DBP, MAP (mmHg), valid. May be empty.
    cuff : DataFrame
        time_s, SBP, DBP (mmHg). May be empty.
    windows : DataFrame
    duration_s : float
    max_points : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (axis,) = panels([2.9], top=0.62)
    unit_s = whole(duration_s)
    shade(axis, windows, unit_s)
    name_windows(axis, windows, duration_s)
    valid = beats["valid"].to_numpy(dtype=bool)
    times = beats["systole_s"].to_numpy(dtype=float)
    known = np.isfinite(times)
    shown = []
    for name, color in _LINES:
        values = np.where(valid, beats[name].to_numpy(dtype=float), np.nan)
        shown.append(values)
        trace = array_trace(
            *broken_at_pauses(times[known], values[known], _PAUSE_S), max_points // 2
        )
        if len(trace.times):
            axis.plot(
                trace.times / unit_s, trace.values[:, 0], color=color, linewidth=0.8, zorder=2,
                label=name,
            )  # fmt: skip
    _draw_readings(axis, cuff, unit_s)
    shown += [cuff[name].to_numpy(dtype=float) for name in ("SBP", "DBP")]
    limits = display_range(np.concatenate(shown))
    if limits:
        axis.set_ylim(*limits[:2])
    _mark_invalid(axis, times[~valid] / unit_s)
    y_label(axis, "Pressure (mmHg)")
    time_axis(axis, duration_s)
    key_over_names(axis)
    return figure


def _draw_readings(axis: Axes, cuff: pd.DataFrame, unit_s: float) -> None:
    if not len(cuff):
        return
    times = cuff["time_s"].to_numpy(dtype=float) / unit_s
    axis.vlines(times, cuff["DBP"], cuff["SBP"], color="white", linewidth=3, zorder=3)
    axis.vlines(times, cuff["DBP"], cuff["SBP"], color=INK, linewidth=1.1, zorder=3.1)
    style: dict[str, Any] = {
        "color": INK,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
        "zorder": 3.2,
    }
    axis.plot(times, cuff["SBP"], "v", markersize=7, label="cuff SBP", **style)
    axis.plot(times, cuff["DBP"], "^", markersize=7, label="cuff DBP", **style)


def _mark_invalid(axis: Axes, times: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Mark invalid beats at the top edge: their values would be misleading as a line."""
    times = times[np.isfinite(times)]
    if len(times):
        axis.plot(
            times, np.full(len(times), 0.97), "x", color=VERMILLION, markersize=4.5,
            transform=axis.get_xaxis_transform(), label=f"invalid beat ({len(times)})", zorder=4,
        )  # fmt: skip


def pressure_strips_figure(stream: Stream, beats: pd.DataFrame, spans: list[Span]) -> Figure:
    """Draw the pressure waveform close up, with the foot and the systole of every beat.

    Parameters
    ----------
    stream : Stream
        Continuous pressure in mmHg.
    beats : DataFrame
        foot_s, systole_s, valid.
    spans : list of (title, role, start, stop)

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = panels([1.4] * len(spans), share_x=False, gap=0.42, top=0.34)
    for axis, span in zip(axes, spans, strict=True):
        _draw_strip(axis, stream, beats, span)
    key(axes[0])
    axes[-1].set_xlabel("Time since start of the session (s)", fontsize=9, color=INK)
    return figure


def _draw_strip(axis: Axes, stream: Stream, beats: pd.DataFrame, span: Span) -> None:
    title, role, start, stop = span
    times, samples = stream.filled(start, stop)
    values = samples if samples.ndim == 1 else samples[:, 0]
    axis.plot(times, values, color=INK, linewidth=1.0, zorder=2)
    axis.set_xlim(start, stop)
    axis.ticklabel_format(axis="x", useOffset=False, style="plain")
    y_label(axis, "Pressure (mmHg)")
    if title:
        axis.set_title(plain(shorten(title, 60)), fontsize=9, loc="left", color=INK, pad=3)
        axis.axvspan(start, stop, color=role_color(role), alpha=0.10, linewidth=0, zorder=0)
    for column, marker, color, words in (
        ("systole_s", "v", VERMILLION, "systole"),
        ("foot_s", "^", BLUE, "foot (start of the beat)"),
    ):
        where = beats[column].to_numpy(dtype=float)
        inside = (where >= start) & (where < stop)
        for chosen, face, note in (
            (beats["valid"].to_numpy(dtype=bool), color, ""),
            (~beats["valid"].to_numpy(dtype=bool), "white", ", invalid beat"),
        ):
            picked = where[inside & chosen]
            if len(picked) and len(times) > 1:
                heights = np.interp(picked, times, values)
                axis.plot(
                    picked, heights, marker, color=color, markerfacecolor=face, markersize=6,
                    label=words + note, zorder=3,
                )  # fmt: skip
    limits = display_range(values)
    if limits is None:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no signal", transform=axis.transAxes, ha="center", fontsize=9)
        return
    axis.set_ylim(*limits[:2])
    axis.locator_params(axis="y", nbins=5)
