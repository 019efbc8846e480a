"""Looks of conditions and the size of figures that go into a paper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from physio_hqc.report._style import BLUE, GREEN, INK, ORANGE, SKY, VERMILLION, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a condition: each of the three alone tells it from the others."""

    color: str
    marker: str
    line: Dash


_KNOWN: Final = {
    "alone": Look(INK, "o", "-"),
    "support": Look(BLUE, "s", (0, (5.0, 1.5))),
    "nonsupport": Look(VERMILLION, "^", (0, (5.0, 1.2, 1.2, 1.2))),
}
"""Black, blue and vermillion stay furthest apart under every common color-vision deficiency."""

_OTHERS: Final = (
    Look(BLUE, "s", (0, (5.0, 1.5))),
    Look(VERMILLION, "^", (0, (5.0, 1.2, 1.2, 1.2))),
    Look(INK, "o", "-"),
    Look(GREEN, "D", (0, (1.2, 1.2))),
    Look(ORANGE, "v", (0, (8.0, 2.0))),
    Look("#CC79A7", "P", (0, (3.0, 1.0, 1.0, 1.0, 1.0, 1.0))),
    Look(SKY, "X", (0, (2.5, 2.5))),
    Look("#8C6D00", "p", (0, (1.0, 2.5))),
)

DOUBLE_MM: Final = 183.0
SMALL_PT: Final = 7.0
TEXT_PT: Final = 7.5
HEAD_PT: Final = 8.0
_MM_PER_INCH: Final = 25.4
_SCREEN_DPI: Final = 160


def looks(conditions: Iterable[str]) -> dict[str, Look]:
    """Give every condition a look of its own; those of the model experiment keep theirs.

    Examples
    --------
    >>> looks(["support", "mentor"])["support"].marker
    's'
    """
    names = list(dict.fromkeys(conditions))
    taken = {_KNOWN[name] for name in names if name in _KNOWN}
    free = iter([look for look in _OTHERS if look not in taken] * (len(names) // 4 + 1))
    return {name: _KNOWN[name] if name in _KNOWN else next(free) for name in names}


def paper(height_mm: float, width_mm: float = DOUBLE_MM) -> Figure:
    """Make an empty figure of the width of one or two columns of a journal."""
    from matplotlib.figure import Figure

    size = (width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH)
    return Figure(figsize=size, dpi=_SCREEN_DPI, facecolor="white")


def size_mm(figure: Figure) -> tuple[float, float]:
    """Width and height of a figure in millimeters."""
    width, height = figure.get_size_inches()
    return float(width) * _MM_PER_INCH, float(height) * _MM_PER_INCH


def place(
    figure: Figure, left: float, top: float, width: float, height: float, **kwargs: Any
) -> Axes:
    """Add axes whose box is given in millimeters from the upper left corner."""
    wide, high = size_mm(figure)
    box = (left / wide, (high - top - height) / high, width / wide, height / high)
    axis = figure.add_axes(box, **kwargs)
    tidy(axis)
    axis.tick_params(labelsize=SMALL_PT, length=2.2, width=0.6, pad=2)
    for spine in axis.spines.values():
        spine.set_linewidth(0.6)
    axis.grid(axis="y", linewidth=0.4)
    return axis


def name_axes(axis: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Set the words of a panel in sizes that stay legible in print."""
    axis.set_xlabel(x, fontsize=TEXT_PT, color=INK, labelpad=2)
    axis.set_ylabel(y, fontsize=TEXT_PT, color=INK, labelpad=2)
    axis.set_title(title, fontsize=HEAD_PT, color=INK, loc="left", pad=3)


def key_above(figure: Figure, handles: list[Any], *, top_mm: float = 1.0, columns: int = 0) -> None:
    """Put one legend for all panels at the top of the figure."""
    if not handles:
        return
    _, high = size_mm(figure)
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.995, 1 - top_mm / high),
        ncols=columns or min(len(handles), 5),
        fontsize=TEXT_PT,
        frameon=False,
        handlelength=3.0,
        handletextpad=0.5,
        columnspacing=1.4,
        borderaxespad=0.0,
        borderpad=0.0,
    )


def condition_handles(shown: dict[str, Look], *, line: bool = True) -> list[Any]:
    """Legend entries of conditions."""
    from matplotlib.lines import Line2D

    from physio_hqc.report.figures._shade import plain, shorten

    return [
        Line2D(
            [],
            [],
            color=look.color,
            marker=look.marker,
            linestyle=look.line if line else "none",
            linewidth=1.3,
            markersize=4,
            markeredgewidth=0,
            label=plain(shorten(name, 28)) or "no condition",
        )
        for name, look in shown.items()
    ]


def key_rows(names: Iterable[str], columns: int = 5) -> int:
    """Number of lines that the legend of these conditions takes."""
    return max(1, -(-len(list(names)) // columns))
