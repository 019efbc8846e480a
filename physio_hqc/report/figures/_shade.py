"""Phases, interaction windows and gaps behind a trace; the time axis below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.report._style import DPI, INK, VERMILLION, role_color, time_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shade(axis: Axes, windows: pd.DataFrame, unit_s: float) -> None:
    """Shade phases in the colour of their role and outline interaction windows."""
    for row in windows[windows["kind"] == "phase"].itertuples():
        start, stop = row.onset / unit_s, (row.onset + row.duration) / unit_s
        axis.axvspan(start, stop, color=role_color(row.role), alpha=0.13, linewidth=0, zorder=0)
        axis.axvline(start, color=role_color(row.role), linewidth=0.8, zorder=0.5)
    tagged = windows[windows["kind"] == "interaction"]
    if len(tagged):
        axis.broken_barh(
            [(row.onset / unit_s, row.duration / unit_s) for row in tagged.itertuples()],
            (0.0, 1.0),
            transform=axis.get_xaxis_transform(),
            facecolor="none",
            edgecolor="#6E7781",
            hatch="////",
            alpha=0.35,
            linewidth=0.8,
            zorder=0.6,
        )


def name_windows(axis: Axes, windows: pd.DataFrame, duration_s: float) -> None:
    """Write the names of phases over a panel, as many as have room."""
    unit_s, _ = time_unit(duration_s)
    for row in windows[windows["kind"] == "phase"].itertuples():
        name = shorten(str(row.label), int(row.duration / max(duration_s, 1e-9) * 130))
        middle_s = row.onset + row.duration / 2
        # Far outside of the panel, no glyph can be drawn.
        if not name or not 0 <= middle_s <= max(duration_s, 1.0):
            continue
        axis.annotate(
            plain(name),
            (middle_s / unit_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            color=INK,
            annotation_clip=False,
        )


def shorten(name: str, room: int) -> str:
    """Cut a name to the characters that have room; nothing if it would be unreadable."""
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room >= 4 else ""


def plain(text: str) -> str:
    """Keep Matplotlib from reading ``$`` in untrusted text as mathematics; line breaks stay."""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return clean.replace("$", r"\$")


def key_over_names(axis: Axes) -> None:
    """Put the legend above the names of the phases."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        axis.legend(
            handles,
            labels,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0 + 0.2 / axis_height(axis)),
            ncols=8,
            fontsize=8,
            frameon=False,
            borderaxespad=0.0,
            columnspacing=1.2,
            handletextpad=0.4,
        )


def axis_height(axis: Axes) -> float:
    """Height of a panel in inches."""
    return float(axis.bbox.height / DPI)


def mark_gaps(axis: Axes, gaps: NDArray[np.float64], unit_s: float, duration_s: float) -> None:
    """Mark gaps by bars along the bottom edge, each wide enough to be seen."""
    if not len(gaps):
        return
    width = np.maximum(gaps[:, 1] - gaps[:, 0], duration_s / 600)
    starts = gaps.mean(axis=1) - width / 2
    axis.broken_barh(
        list(zip(starts / unit_s, width / unit_s, strict=True)),
        (0.0, 0.05),
        transform=axis.get_xaxis_transform(),
        facecolor=VERMILLION,
        linewidth=0,
        zorder=4,
    )


def time_axis(axis: Axes, duration_s: float) -> None:
    """Label the lowest panel's time axis and let it span the session."""
    unit_s, unit = time_unit(duration_s)
    axis.set_xlim(0, max(duration_s, 1.0) / unit_s)
    axis.set_xlabel(f"Time since start of the session ({unit})", fontsize=9, color=INK)


def whole(duration_s: float) -> float:
    """Seconds per unit of the session's time axis."""
    return time_unit(duration_s)[0]
