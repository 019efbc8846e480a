"""Zoomed ECG with its beats, and the RR tachogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from physio_hqc.report._style import (
    BLUE,
    GREY,
    INK,
    KIND_STYLES,
    key,
    panels,
    role_color,
    y_label,
)
from physio_hqc.report._traces import array_trace, display_range
from physio_hqc.report.figures._shade import (
    key_over_names,
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

    from physio_hqc.session import Stream

Span = tuple[str, str, float, float]
"""Title, role, start and stop in seconds of a stretch that is shown close up."""

_MAX_CLOSE_UPS = 4


def phase_spans(
    windows: pd.DataFrame, duration_s: float, *, length_s: float = 10.0, most: int = 6
) -> list[Span]:
    """Choose the middle of every phase; without phases, stretches spread over the session."""
    phases = windows[windows["kind"] == "phase"].sort_values("onset", kind="stable")
    phases = phases[(phases["duration"] > 0) & (phases["onset"] < duration_s)]
    if not len(phases):
        centers = duration_s * (np.arange(3) + 0.5) / 3
        if duration_s <= 3 * length_s:
            centers = np.array([duration_s / 2])
        return [("", "", *_around(center, length_s, 0.0, duration_s)) for center in centers]
    picked = np.unique(np.linspace(0, len(phases) - 1, min(most, len(phases))).round().astype(int))
    return [
        (
            str(row.label),
            str(row.role),
            *_around(
                row.onset + row.duration / 2,
                length_s,
                row.onset,
                min(row.onset + row.duration, duration_s),
            ),
        )
        for row in phases.iloc[picked[:most]].itertuples()
    ]


def correction_spans(
    beats: pd.DataFrame, duration_s: float, *, length_s: float = 10.0
) -> list[Span]:
    """Choose up to four stretches around corrected beats: the first of each kind, then others."""
    corrected = beats[beats["kind"] != "normal"]
    if not len(corrected):
        return []
    firsts = corrected.drop_duplicates("kind")
    rest = corrected.drop(firsts.index)
    spans: list[Span] = []
    for row in pd.concat([firsts, rest]).head(400).itertuples():
        if any(start + 1 <= row.time_s < stop - 1 for _, _, start, stop in spans):
            continue
        spans.append(("", "", *_around(row.time_s, length_s, 0.0, duration_s)))
        if len(spans) == _MAX_CLOSE_UPS:
            break
    return sorted(spans, key=lambda span: span[2])


def _around(center: float, length: float, low: float, high: float) -> tuple[float, float]:
    """Start and stop of a stretch of this length about `center` that stays within bounds."""
    length = min(length, high - low)
    start = min(max(center - length / 2, low), high - length)
    return float(start), float(start + length)


def ecg_strips_figure(stream: Stream, beats: pd.DataFrame, spans: list[Span]) -> Figure:
    """Draw the recorded ECG close up, one strip per span, with its R peaks.

    Parameters
    ----------
    stream : Stream
        The ECG, in mV.
    beats : DataFrame
        time_s and kind of every beat after correction.
    spans : list of (title, role, start, stop)
        From `phase_spans` or `correction_spans`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = panels([1.15] * len(spans), share_x=False, gap=0.42, top=0.34)
    for axis, span in zip(axes, spans, strict=True):
        _draw_strip(axis, stream, beats, span)
    axes[-1].set_xlabel("Time since start of the session (s)", fontsize=9, color=INK)
    _key_of_kinds(axes[0], beats, spans)
    return figure


def _draw_strip(axis: Axes, stream: Stream, beats: pd.DataFrame, span: Span) -> None:
    title, role, start, stop = span
    times, samples = stream.filled(start, stop)
    values = samples if samples.ndim == 1 else samples[:, 0]
    axis.plot(times, values, color=INK, linewidth=0.9, zorder=2)
    axis.set_xlim(start, stop)
    axis.ticklabel_format(axis="x", useOffset=False, style="plain")
    y_label(axis, f"ECG ({stream.units.split(',')[0]})")
    if title:
        axis.set_title(plain(shorten(title, 60)), fontsize=9, loc="left", color=INK, pad=3)
        axis.axvspan(start, stop, color=role_color(role), alpha=0.10, linewidth=0, zorder=0)
    limits = display_range(values)
    if limits is None:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no signal", transform=axis.transAxes, ha="center", fontsize=9)
        return
    low, high = limits[:2]
    inside = beats[(beats["time_s"] >= start) & (beats["time_s"] < stop)]
    normal = (inside["kind"] == "normal").to_numpy()
    peaks = inside["time_s"].to_numpy(dtype=float)
    # Where R peaks point down, the markers stand below them.
    up = -1.0 if _points_down(times, values, peaks) else 1.0
    room = 0.22 * (high - low)
    axis.set_ylim(low - (room if up < 0 else 0), high + (room if up > 0 else 0))
    axis.locator_params(axis="y", nbins=4)
    tips = up * _highest_near(times, up * values, peaks)
    beside = np.where(np.isfinite(tips), tips, high if up > 0 else low) + up * 0.12 * (high - low)
    triangle = "v" if up > 0 else "^"
    axis.plot(peaks[normal], beside[normal], triangle, color=GREY, markersize=4.5, zorder=3)
    for kind, (color, marker, _) in KIND_STYLES.items():
        chosen = (inside["kind"] == kind).to_numpy()
        axis.vlines(peaks[chosen], low, high, color=color, linewidth=1.0, linestyle=":", zorder=1)
        axis.plot(
            peaks[chosen],
            beside[chosen],
            marker,
            color=color,
            markersize=6.5,
            linestyle="",
            zorder=3,
        )


def _points_down(
    times: NDArray[np.float64], values: NDArray[np.float64], peaks: NDArray[np.float64]
) -> bool:
    """Whether most R peaks of the strip lie below the middle of the trace."""
    known = np.isfinite(values)
    if not known.any() or not len(peaks):
        return False
    at_peaks = np.interp(peaks, times[known], values[known])
    return bool(np.median(at_peaks) < np.median(values[known]))


def _highest_near(
    times: NDArray[np.float64], values: NDArray[np.float64], where: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Largest value within 20 ms of each time, so that a marker clears the peak."""
    if not len(times):
        return np.full(len(where), np.nan)
    index = np.clip(np.searchsorted(times, where), 0, len(times) - 1)
    step = max(1, round(0.02 * (len(times) - 1) / max(times[-1] - times[0], 1e-9)))
    around = np.clip(index[:, None] + np.arange(-step, step + 1), 0, len(times) - 1)
    picked = values[around]
    return np.where(
        np.isnan(picked).all(axis=1),
        np.nan,
        np.max(np.where(np.isnan(picked), -np.inf, picked), axis=1, initial=-np.inf),
    )


def _key_of_kinds(axis: Axes, beats: pd.DataFrame, spans: list[Span]) -> None:
    """Explain the markers that occur."""
    times = beats["time_s"].to_numpy(dtype=float)
    shown = np.zeros(len(beats), dtype=bool)
    for _, _, start, stop in spans:
        shown |= (times >= start) & (times < stop)
    present = set(beats["kind"].to_numpy()[shown])
    axis.plot([], [], "v", color=GREY, markersize=4.5, label="R peak")
    for kind, (color, marker, words) in KIND_STYLES.items():
        if kind in present:
            axis.plot([], [], marker, color=color, markersize=6, linestyle="", label=words)
    key(axis)


def tachogram_figure(
    beats: pd.DataFrame, windows: pd.DataFrame, duration_s: float, *, max_points: int = 4000
) -> Figure:
    """Draw RR intervals over time, corrected beats marked by kind, heart rate at the right.

    Parameters
    ----------
    beats : DataFrame
        time_s, rr_s (the interval that ends at the beat, NaN after a gap), kind.
    windows : DataFrame
    duration_s : float
    max_points : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (axis,) = panels([2.6], top=0.62, right=0.85)
    unit_s = whole(duration_s)
    shade(axis, windows, unit_s)
    name_windows(axis, windows, duration_s)
    times = beats["time_s"].to_numpy(dtype=float)
    rr = 1000.0 * beats["rr_s"].to_numpy(dtype=float)
    trace = array_trace(times, rr, max_points // 2)
    axis.plot(trace.times / unit_s, trace.values[:, 0], color=INK, linewidth=0.7, zorder=2)
    for kind, (color, marker, words) in KIND_STYLES.items():
        chosen = (beats["kind"] == kind).to_numpy()
        if chosen.any():
            axis.plot(
                times[chosen] / unit_s, rr[chosen], marker, color=color, markersize=5.5,
                linestyle="", markeredgecolor="white", markeredgewidth=0.5, zorder=3,
                label=f"{words} ({int(chosen.sum())})",
            )  # fmt: skip
    limits = display_range(rr)
    low, high = limits[:2] if limits else (400.0, 1200.0)
    axis.set_ylim(max(low, 150.0), max(high, 200.0))
    y_label(axis, "RR interval (ms)")
    time_axis(axis, duration_s)
    _rate_axis(axis)
    key_over_names(axis)
    return figure


def _rate_axis(axis: Axes) -> None:
    """Heart rate in beats per minute at the right edge; the relation is 60000 / RR."""

    def inverse(x: ArrayLike) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            return 60000.0 / np.asarray(x, dtype=np.float64)

    right = axis.secondary_yaxis("right", functions=(inverse, inverse))
    low, high = axis.get_ylim()
    rates = np.array([30, 40, 50, 60, 70, 80, 90, 100, 120, 140, 160, 200, 250])
    inside = rates[(60000 / rates >= low) & (60000 / rates <= high)]
    right.set_yticks(inside)
    right.tick_params(labelsize=8, colors=BLUE, length=3)
    right.spines["right"].set_visible(True)
    right.spines["right"].set_color("#8C959F")
    right.set_ylabel("Heart rate (1/min)", fontsize=9, color=BLUE)
