"""The allostatic-load proxy: indicators at risk per participant, and which they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._study_courses import means
from physio_hqc.report._study_style import (
    Look,
    condition_handles,
    key_above,
    key_rows,
    name_axes,
    paper,
    place,
)
from physio_hqc.report._style import FAINT
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COMPONENTS = 16
_IN_A_ROW, _MOST_ROWS = 10, 5


def components(text: object) -> list[str]:
    """Names in a list as the table writes it.

    Examples
    --------
    >>> components("SBP, HR; RMSSD"), components("")
    (['SBP', 'HR', 'RMSSD'], [])
    """
    parts = str(text).replace(";", ",").split(",")
    return [part.strip() for part in parts if part.strip()]


def risk_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Count how often each component is at risk among those who have it, by condition.

    Parameters
    ----------
    table : DataFrame
        condition, at_risk, missing (names, parted by commas), count.

    Returns
    -------
    DataFrame
        component, condition, at_risk (count), n, share; the most frequent component first.
    """
    found: dict[str, None] = {}
    for column in ("at_risk", "missing"):
        for text in table[column]:
            found.update(dict.fromkeys(components(text)))
    rows = []
    for name in found:
        risky = table["at_risk"].map(lambda text, name=name: name in components(text))
        there = ~table["missing"].map(lambda text, name=name: name in components(text))
        there &= table["count"].notna()
        for condition, part in table.groupby("condition", sort=False):
            n = int(there[part.index].sum())
            at_risk = int((risky & there)[part.index].sum())
            rows.append((name, condition, at_risk, n, at_risk / n if n else np.nan))
    made = pd.DataFrame(rows, columns=["component", "condition", "at_risk", "n", "share"])
    sums = made.groupby("component")["at_risk"].transform("sum")
    made = made.assign(_sum=-sums).sort_values(["_sum", "component"], kind="stable")
    return made.drop(columns="_sum").reset_index(drop=True)


def proxy_figure(table: pd.DataFrame, looks: Mapping[str, Look]) -> Figure | None:
    """Draw the count of indicators at risk by condition, and the share at risk per indicator.

    Parameters
    ----------
    table : DataFrame
        participant, condition, count, n_components, n_defined, at_risk, missing.
    looks : mapping of str to Look
        Conditions in order.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if nobody has a count.
    """
    rows = table[table["count"].notna()].reset_index(drop=True)
    if not len(rows):
        return None
    mine = {name: look for name, look in looks.items() if name in set(rows["condition"])}
    if not mine:
        return None
    shares = risk_shares(rows)
    names = list(dict.fromkeys(shares["component"]))[:MAX_COMPONENTS]
    top = 8.0 + 4.0 * key_rows(mine)
    high = max(44.0, 4.2 * len(names) * max(1.0, len(mine) / 3))
    figure = paper(top + high + 10.0)
    axis = place(figure, 13.0, top, 68.0, high)
    _counts(axis, rows, mine)
    if names:
        right = place(figure, 124.0, top, 55.0, high)
        _shares(right, shares, names, mine)
    key_above(figure, condition_handles(mine, line=False))
    return figure


def _counts(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    from matplotlib.ticker import MaxNLocator

    summary = means(rows, ["condition"], "count").set_index("condition")
    for k, (name, look) in enumerate(looks.items()):
        values = rows.loc[rows["condition"] == name, "count"].to_numpy(dtype=float)
        across, up = _beside(values, 0.56)
        axis.plot(
            k - 0.12 + across, values + up, look.marker, color=look.color, markersize=2.6,
            alpha=0.5, markeredgewidth=0, gid="points",
        )  # fmt: skip
        if name in summary.index:
            row = summary.loc[name]
            if np.isfinite(row["low"]):
                ends = [max(row["low"], 0.0), row["high"]]
                axis.vlines(k + 0.36, *ends, color=look.color, linewidth=1.3)
                axis.plot([k + 0.36] * 2, ends, "_", color=look.color, markersize=5.0)
            axis.plot([k + 0.36], [row["mean"]], look.marker, color=look.color, markersize=3.8,
                      markeredgecolor="white", markeredgewidth=0.6, gid="mean")  # fmt: skip
    axis.set_xticks(np.arange(len(looks)), [plain(shorten(n, int(44 / len(looks)))) for n in looks])
    axis.set_xlim(-0.6, len(looks) - 0.4)
    most = rows["n_defined"].max()
    if np.isfinite(most):
        axis.set_ylim(-0.4, float(most) + 0.4)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axis.tick_params(axis="x", length=0)
    name_axes(axis, y="Indicators at risk (count)", title="Allostatic-load proxy")


def _beside(values: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Places that put equal counts beside each other, in several rows where they are many."""
    across, up = np.zeros(len(values)), np.zeros(len(values))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        rows = min(-(-len(same) // _IN_A_ROW), _MOST_ROWS)
        long = -(-len(same) // rows)
        k = np.arange(len(same))
        across[same] = (k // rows - (long - 1) / 2) / max(long, _IN_A_ROW)
        up[same] = (k % rows - (rows - 1) / 2) * 0.16
    return across * width, up


def _shares(axis: Axes, shares: pd.DataFrame, names: list[str], looks: Mapping[str, Look]) -> None:
    step = 0.72 / len(looks)
    for k, (name, look) in enumerate(looks.items()):
        part = shares[shares["condition"] == name].set_index("component")["share"].reindex(names)
        y = np.arange(len(names)) + (k - (len(looks) - 1) / 2) * step
        share = 100 * part.to_numpy(dtype=float)
        axis.hlines(y, 0, share, color=look.color, linewidth=0.8, alpha=0.6)
        axis.plot(share, y, look.marker, color=look.color, markersize=3.6, markeredgewidth=0,
                  clip_on=False)  # fmt: skip
    axis.set_yticks(np.arange(len(names)), [plain(shorten(name, 26)) for name in names])
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", color=FAINT, linewidth=0.4)
    name_axes(axis, x="Participants at risk (%)",
              title="Indicators at risk")  # fmt: skip
