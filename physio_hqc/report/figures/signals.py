"""All streams over the whole session, one panel each, on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from physio_hqc.report._format import plural
from physio_hqc.report._style import (
    BLUE,
    GREY,
    INK,
    SKY,
    STREAM_COLORS,
    VERMILLION,
    key,
    panels,
    y_label,
)
from physio_hqc.report._traces import Trace, display_range, stream_trace
from physio_hqc.report.figures._shade import (
    mark_gaps,
    name_windows,
    plain,
    shade,
    shorten,
    time_axis,
    whole,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from physio_hqc.session import Session, Stream

MAX_PANELS = 12
_MAX_EVENTS = 2000
_PAPER: dict[str, Any] = {"facecolor": "white", "alpha": 0.9, "pad": 1, "lw": 0}
_ORDER = ("ecg", "bp", "cuff", "eda", "rr", "resp", "ppg", "temp", "acc", "other")
_TITLES = {
    "ecg": "ECG",
    "bp": "Pressure",
    "cuff": "Cuff",
    "eda": "EDA",
    "rr": "RR",
    "resp": "Respiration",
    "ppg": "PPG",
    "temp": "Temperature",
    "acc": "Acceleration",
}
_CHANNEL_COLORS = (INK, BLUE, VERMILLION, SKY, GREY)


def shown_streams(session: Session) -> list[Stream]:
    """Streams in the order of the panels; cuff readings join the continuous pressure if any."""
    streams = sorted(session.streams.values(), key=lambda s: (_ORDER.index(s.modality), s.name))
    has_pressure = any(s.modality == "bp" and s.n_samples for s in streams)
    return [s for s in streams if s.n_samples and not (s.modality == "cuff" and has_pressure)]


def signals_figure(session: Session, windows: pd.DataFrame, *, max_points: int = 4000) -> Figure:
    """Draw every stream over the whole session.

    Parameters
    ----------
    session : Session
    windows : DataFrame
        kind, label, onset, duration (s), role.
    max_points : int
        Points per line; a longer trace is drawn by its smallest and largest value per bin.

    Returns
    -------
    matplotlib.figure.Figure
    """
    streams = shown_streams(session)[:MAX_PANELS]
    heights = [0.28, *(1.25 if s.modality in ("ecg", "bp", "eda") else 0.95 for s in streams)]
    figure, axes = panels(heights, top=0.32)
    events = session.events
    _draw_events(axes[0], events[~events["kind"].isin(("phase", "interaction"))], session.duration)
    shade(axes[0], windows, whole(session.duration))
    name_windows(axes[0], windows, session.duration)
    for axis, stream in zip(axes[1:], streams, strict=True):
        shade(axis, windows, whole(session.duration))
        _draw_stream(axis, stream, session, max_points // 2)
    if len(axes) == 1:
        axes[0].tick_params(axis="x", labelbottom=True, length=3)
    time_axis(axes[-1], session.duration)
    return figure


def _draw_stream(axis: Axes, stream: Stream, session: Session, n_bins: int) -> None:
    """Draw one stream, with cuff readings over continuous pressure."""
    unit_s = whole(session.duration)
    trace = stream_trace(stream, 0.0, session.duration, n_bins)
    alike = [s for s in session.streams.values() if s.modality == stream.modality]
    name = shorten(stream.name, 14)
    title = name if len(alike) > 1 else _TITLES.get(stream.modality, name)
    unit = stream.units.split(",")[0]
    y_label(axis, plain(f"{title}\n({unit})" if unit else title))
    cuffs = [s for s in session.streams.values() if s.modality == "cuff" and s.n_samples]
    shown = trace.values
    if stream.modality == "cuff":
        _draw_cuff(axis, stream, unit_s)
        shown = _cuff_pressures(stream)
    else:
        _draw_channels(axis, stream, trace, unit_s)
    if stream.modality == "bp" and cuffs:
        _draw_cuff(axis, cuffs[0], unit_s)
        shown = np.concatenate([shown.ravel(), _cuff_pressures(cuffs[0]).ravel()])
    _limit(axis, shown)
    mark_gaps(axis, trace.gaps, unit_s, session.duration)
    if len(trace.gaps):
        lost = float((trace.gaps[:, 1] - trace.gaps[:, 0]).sum())
        _corner(axis, f"{plural(len(trace.gaps), 'gap')}, {lost:.3g} s", VERMILLION)


def _draw_channels(axis: Axes, stream: Stream, trace: Trace, unit_s: float) -> None:
    several = trace.values.shape[1] > 1
    color = STREAM_COLORS[stream.modality]
    for index in range(min(trace.values.shape[1], len(_CHANNEL_COLORS))):
        axis.plot(
            trace.times / unit_s,
            trace.values[:, index],
            color=_CHANNEL_COLORS[index] if several else color,
            linewidth=0.6 if len(trace.times) > 1000 else 1.0,
            marker="." if len(trace.times) < 60 else None,
            label=plain(stream.channels[index]) if several else None,
            zorder=2,
        )
    if several:
        key(axis, above=False)


def _cuff_pressures(stream: Stream) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Readings (n, c) of the channels in mmHg: SBP, DBP, MAP as far as they exist."""
    samples = stream.samples.reshape(stream.n_samples, -1)
    chosen = [i for i, name in enumerate(stream.channels) if name.upper() in ("SBP", "DBP", "MAP")]
    return samples[:, chosen] if chosen else samples[:, :1]


def _draw_cuff(axis: Axes, stream: Stream, unit_s: float) -> None:
    """Draw cuff readings as points: SBP over DBP, joined by a line."""
    times = stream.times / unit_s
    names = [name.upper() for name in stream.channels]
    samples = stream.samples.reshape(stream.n_samples, -1)
    if "SBP" not in names or "DBP" not in names:
        axis.plot(times, samples[:, 0], "o", color=INK, markersize=4, label="cuff", zorder=3)
        return
    sbp, dbp = samples[:, names.index("SBP")], samples[:, names.index("DBP")]
    axis.vlines(times, dbp, sbp, color="white", linewidth=2.6, zorder=3)
    axis.vlines(times, dbp, sbp, color=INK, linewidth=1.0, zorder=3.1)
    style: dict[str, Any] = {
        "color": INK,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "zorder": 3.2,
    }
    axis.plot(times, sbp, "v", markersize=6, label="cuff SBP", **style)
    axis.plot(times, dbp, "^", markersize=6, label="cuff DBP", **style)
    key(axis, above=False)


def _limit(axis: Axes, shown: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Choose the y limits; say so if rare extremes lie outside."""
    limits = display_range(shown)
    if limits is None:
        axis.set_yticks([])
        axis.text(
            0.5, 0.5, "no valid sample", transform=axis.transAxes, ha="center", va="center",
            fontsize=9, color=VERMILLION,
        )  # fmt: skip
        return
    low, high, clipped = limits
    axis.set_ylim(low, high)
    axis.locator_params(axis="y", nbins=4)
    if clipped:
        extent = f"axis cut: {np.nanmin(shown):.3g} to {np.nanmax(shown):.3g}"
        axis.text(
            0.004, 0.95, extent, transform=axis.transAxes, ha="left", va="top", fontsize=7.5,
            color=VERMILLION, zorder=5, bbox=_PAPER,
        )  # fmt: skip


def _corner(axis: Axes, text: str, color: str) -> None:
    axis.text(
        0.004, 0.1, text, transform=axis.transAxes, ha="left", va="bottom", fontsize=7.5,
        color=color, zorder=5, bbox=_PAPER,
    )  # fmt: skip


def _draw_events(axis: Axes, events: pd.DataFrame, duration_s: float) -> None:
    """Draw markers, ratings, notes and notices as ticks, named as long as there is room."""
    unit_s = whole(duration_s)
    y_label(axis, "Events")
    axis.set_yticks([])
    axis.set_ylim(0, 1)
    axis.grid(visible=False)
    shown = events.head(_MAX_EVENTS)
    onsets = shown["onset"].to_numpy(dtype=float) / unit_s
    axis.vlines(onsets, 0.0, 0.42, color=INK, linewidth=0.9, zorder=3)
    # A name is written only where the one before it has ended, counted in letters.
    letter = duration_s / unit_s / 185
    free_from = -np.inf
    for x, label in zip(onsets[:_MAX_EVENTS], shown["label"], strict=True):
        text = shorten(str(label), 18)
        # Far outside of the panel, no glyph can be drawn.
        if x < free_from or not text or not 0 <= x * unit_s <= max(duration_s, 1.0):
            continue
        axis.text(x, 0.46, plain(text), fontsize=7, ha="left", va="bottom", color=INK, clip_on=True)
        free_from = x + (len(text) + 1.5) * letter
