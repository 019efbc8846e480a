"""How the contrasts of the primary outcome move under other choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._study_style import HEAD_PT, name_axes, paper, place
from physio_hqc.report._study_words import contrast_name, outcome_name, with_unit
from physio_hqc.report._style import BLUE, FAINT, INK
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LINES = 4
MAX_VARIANTS = 16
_ACROSS, _LEFT = 3, 52.0


def sensitivity_figure(
    table: pd.DataFrame, outcomes: Sequence[str], units: Mapping[str, str]
) -> Figure | None:
    """Draw estimate and interval per variant, one panel per contrast and window.

    Parameters
    ----------
    table : DataFrame
        outcome, window, variant, term, estimate, ci_low, ci_high.
    outcomes : sequence of str
        The first that the table holds is drawn.
    units : mapping of str to str

    Returns
    -------
    matplotlib.figure.Figure or None
        None without a sensitivity analysis.
    """
    rows = table[table["estimate"].notna()]
    outcome = next((name for name in outcomes if name in set(rows["outcome"])), None)
    if outcome is None:
        return None
    rows = rows[rows["outcome"] == outcome]
    variants = list(dict.fromkeys(rows["variant"]))[:MAX_VARIANTS]
    terms = list(dict.fromkeys(rows["term"]))
    lines = [
        (window, terms[k : k + _ACROSS])
        for window in dict.fromkeys(rows["window"])
        for k in range(0, len(terms), _ACROSS)
    ][:MAX_LINES]
    high = 4.4 * len(variants) + 2.0
    figure = paper(7.0 + len(lines) * (high + 17.0) - 5.0)
    limits = _limits(rows)
    across = min(_ACROSS, len(terms))
    wide = (183.0 - _LEFT - 3.0 - (across - 1) * 4.0) / across
    for line, (window, names) in enumerate(lines):
        top = 7.0 + line * (high + 17.0)
        for column, term in enumerate(names):
            axis = place(figure, _LEFT + column * (wide + 4.0), top, wide, high)
            part = rows[(rows["window"] == window) & (rows["term"] == term)]
            _panel(axis, part, variants, named=column == 0)
            axis.set_xlim(limits)
            said = plain(contrast_name(term, int(wide / 1.6)))
            name_axes(axis, x=with_unit("Difference", units.get(outcome, "")), title=said)
            if column == 0:
                _head(axis, f"{outcome_name(outcome)}: {window}")
    return figure


def _head(axis: Axes, text: str) -> None:
    """Outcome and window, over the names of the variants."""
    axis.annotate(
        plain(shorten(text, 30)), (0, 1), xycoords="axes fraction",
        xytext=(-(_LEFT - 2.0) * 72 / 25.4, 3), textcoords="offset points", fontsize=HEAD_PT,
        color=INK, va="bottom",
    )  # fmt: skip


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    ends = rows[["estimate", "ci_low", "ci_high"]].to_numpy(dtype=float)
    low, high = min(0.0, float(np.nanmin(ends))), max(0.0, float(np.nanmax(ends)))
    room = 0.05 * (high - low or 1.0)
    return low - room, high + room


def _panel(axis: Axes, rows: pd.DataFrame, variants: list[str], *, named: bool) -> None:
    found = rows.drop_duplicates("variant").set_index("variant")
    for y, variant in enumerate(variants):
        if variant not in found.index:
            continue
        row = found.loc[variant]
        color = INK if y == 0 else BLUE
        if np.isfinite(row["ci_low"]) and np.isfinite(row["ci_high"]):
            axis.hlines(y, row["ci_low"], row["ci_high"], color=color, linewidth=1.2)
        axis.plot([row["estimate"]], [y], "o", color=color, markersize=3.8,
                  markerfacecolor=color if y == 0 else "white")  # fmt: skip
    axis.axvline(0, color=INK, linewidth=0.7, zorder=1)
    axis.set_ylim(len(variants) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", color=FAINT, linewidth=0.4)
    axis.locator_params(axis="x", nbins=4)
    names = [plain(shorten(v, 34)) for v in variants] if named else []
    axis.set_yticks(np.arange(len(variants)) if named else [], names)
    axis.tick_params(axis="y", length=0)
