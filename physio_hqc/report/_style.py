"""Colours, sizes and the figure factory that all figures of a report share.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers; what a colour says
is always said by a word, a number or a marker as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#A8437E"
GREY: Final = "#8A8A8A"
INK: Final = "#24292F"
FAINT: Final = "#D5D9DE"

ROLE_COLORS: Final = {
    "baseline": SKY,
    "preparation": ORANGE,
    "task": VERMILLION,
    "recovery": GREEN,
    "other": "#B0B0B0",
    "": "#B0B0B0",
}

STREAM_COLORS: Final = {
    "ecg": INK,
    "bp": BLUE,
    "cuff": INK,
    "eda": PURPLE,
    "rr": INK,
    "resp": GREEN,
    "ppg": "#8C3B00",
    "acc": GREY,
    "temp": "#B07800",
    "other": GREY,
}

KIND_STYLES: Final = {
    "ectopic": (VERMILLION, "D", "ectopic: beat moved"),
    "missed": (BLUE, "v", "missed: beat inserted"),
    "extra": (ORANGE, "s", "extra: a beat before it removed"),
    "long": (PURPLE, "^", "long: beat moved"),
    "short": (GREEN, "P", "short: beat moved"),
    "artifact": (GREY, "x", "artifact: left out"),
}
"""Colour, marker and words for every kind of beat that is not normal."""

VERDICT_COLORS: Final = {"good": GREEN, "fair": ORANGE, "poor": VERMILLION, "not checked": GREY}

WIDTH_IN: Final = 11.0
DPI: Final = 140
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.95, 0.2, 0.3, 0.5, 0.12


def panels(
    heights_in: Sequence[float],
    *,
    share_x: bool = True,
    top: float = _TOP,
    right: float = _RIGHT,
    gap: float = _GAP,
    bottom: float = _BOTTOM,
    left: float = _LEFT,
) -> tuple[Figure, list[Axes]]:
    """Make a figure of stacked panels with margins fixed in inches.

    The figure is made through Matplotlib's object interface, so that no backend is chosen and
    nothing stays behind in a process that makes many reports.
    """
    from matplotlib.figure import Figure

    total = top + bottom + sum(heights_in) + gap * (len(heights_in) - 1)
    figure = Figure(figsize=(WIDTH_IN, total), dpi=DPI, facecolor="white")
    axes: list[Axes] = []
    upper = total - top
    for height in heights_in:
        box = (
            left / WIDTH_IN,
            (upper - height) / total,
            (WIDTH_IN - left - right) / WIDTH_IN,
            height / total,
        )
        shared = axes[0] if axes and share_x else None
        axes.append(figure.add_axes(box, sharex=shared))
        tidy(axes[-1])
        upper -= height + gap
    if share_x:
        for axis in axes[:-1]:
            axis.tick_params(axis="x", labelbottom=False, length=0)
    return figure, axes


def grid(n: int, *, columns: int = 3, height_in: float = 2.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of small multiples, `columns` per row."""
    from matplotlib.figure import Figure

    rows = max(1, math.ceil(n / columns))
    total = rows * (height_in + 0.75) + 0.1
    figure = Figure(figsize=(WIDTH_IN, total), dpi=DPI, facecolor="white")
    cell = (WIDTH_IN - 0.2) / columns
    axes = []
    for index in range(n):
        row, column = divmod(index, columns)
        box = (
            (column * cell + 0.75) / WIDTH_IN,
            (total - row * (height_in + 0.75) - 0.35 - height_in) / total,
            (cell - 0.95) / WIDTH_IN,
            height_in / total,
        )
        axes.append(figure.add_axes(box))
        tidy(axes[-1])
    return figure, axes


def tidy(axis: Axes) -> None:
    """Take away what carries no information: box, heavy ticks, strong grid."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#8C959F")
        axis.spines[side].set_linewidth(0.8)
    axis.tick_params(labelsize=8, colors=INK, color="#8C959F", length=3, width=0.8)
    axis.grid(axis="y", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)


def y_label(axis: Axes, text: str) -> None:
    """Label the y axis; labels of stacked panels stand in one line."""
    axis.set_ylabel(text, fontsize=9, color=INK)
    axis.yaxis.set_label_coords(-0.5 / (WIDTH_IN * axis.get_position().width), 0.5)


def key(axis: Axes, *, columns: int = 8, above: bool = True) -> None:
    """Put the legend over the panel, where it hides no data."""
    handles, labels = axis.get_legend_handles_labels()
    if not handles:
        return
    axis.legend(
        handles,
        labels,
        loc="lower right" if above else "upper right",
        bbox_to_anchor=(1.0, 1.0) if above else None,
        ncols=columns,
        fontsize=8,
        frameon=not above,
        framealpha=0.9,
        edgecolor="none",
        borderaxespad=0.15,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def time_unit(duration_s: float) -> tuple[float, str]:
    """Seconds per unit and the unit's name for a time axis of this length."""
    if duration_s < 120:
        return 1.0, "s"
    return (60.0, "min") if duration_s < 4 * 3600 else (3600.0, "h")


def role_color(role: object) -> str:
    """Colour of a phase's role; grey for one that is unknown."""
    return ROLE_COLORS.get(str(role), ROLE_COLORS["other"])
