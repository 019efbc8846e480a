"""Ratings against reactivity: every participant a point, a line within every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._study_style import (
    SMALL_PT,
    Look,
    condition_handles,
    key_above,
    key_rows,
    name_axes,
    paper,
    place,
)
from physio_hqc.report._study_words import coefficient, outcome_name, with_unit
from physio_hqc.report._style import INK
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 12
MAX_OUTCOMES = 3
_WIDE, _HIGH = 45.0, 36.0


def rating_pairs(scores: pd.DataFrame, ratings: pd.DataFrame, window: str = "") -> pd.DataFrame:
    """Put each rating beside the reactivity of the window that it belongs to.

    Single items of a scale are left out where the scale has scores.

    Parameters
    ----------
    scores : DataFrame
        session, participant, condition, window, feature, delta.
    ratings : DataFrame
        participant, session, window, scale, name, kind, value.
    window : str
        Window beside which a rating of the whole session stands; every window if empty.

    Returns
    -------
    DataFrame
        participant, condition, window, feature, delta, rating, value.
    """
    known = ratings[ratings["value"].notna()]
    if (known["kind"] != "item").any():
        known = known[known["kind"] != "item"]
    if not len(known) or not len(scores):
        names = ["participant", "condition", "window", "feature", "delta", "rating", "value"]
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    scale = known["scale"].where(known["scale"] != known["name"], "")
    rating = np.where(scale != "", scale + ": " + known["name"], known["name"])
    known = known.assign(rating=rating)[["participant", "window", "rating", "value"]]
    once = known.groupby(["participant", "window", "rating"], sort=False)["value"].mean()
    known = once.reset_index()
    left = scores[["participant", "condition", "window", "feature", "delta"]]
    here = left.merge(known[known["window"] != ""], on=["participant", "window"])
    main = left[left["window"] == window] if window else left
    whole = main.merge(known[known["window"] == ""].drop(columns="window"), on="participant")
    return pd.concat([here, whole], ignore_index=True)


def within_correlation(rows: pd.DataFrame) -> float:
    """Correlation of rating and delta after condition (and window) means are taken out."""
    groups = rows.groupby(["condition", "window"], sort=False)[["value", "delta"]]
    left = (rows[["value", "delta"]] - groups.transform("mean")).to_numpy(dtype=float)
    spread = np.sqrt((left**2).sum(axis=0))
    if len(rows) < 3 or not (spread > 1e-12).all():
        return float("nan")
    return float((left[:, 0] * left[:, 1]).sum() / spread.prod())


def ratings_figure(
    pairs: pd.DataFrame,
    outcomes: Sequence[str],
    looks: Mapping[str, Look],
    units: Mapping[str, str],
) -> Figure | None:
    """Draw rating against change from baseline, a panel per outcome and rating.

    Parameters
    ----------
    pairs : DataFrame
        As `rating_pairs` makes them.
    outcomes : sequence of str
        The first three are drawn.
    looks, units
        As for the other figures.

    Returns
    -------
    matplotlib.figure.Figure or None
        None without ratings.
    """
    shown = [name for name in outcomes if name in set(pairs["feature"])][:MAX_OUTCOMES]
    ratings = list(dict.fromkeys(pairs["rating"]))
    panels = [(feature, rating) for rating in ratings for feature in shown][:MAX_PANELS]
    if not panels:
        return None
    present = set(pairs["condition"])
    mine = {name: look for name, look in looks.items() if name in present}
    columns = min(3, max(len(shown), 1)) if len(shown) > 1 else min(3, len(panels))
    lines = -(-len(panels) // columns)
    top = 8.0 + 4.0 * key_rows(mine)
    figure = paper(top + lines * (_HIGH + 16.0) - 5.0)
    for k, (feature, rating) in enumerate(panels):
        row, column = divmod(k, columns)
        axis = place(figure, 14.0 + column * 61.5, top + row * (_HIGH + 16.0), _WIDE, _HIGH)
        part = pairs[(pairs["feature"] == feature) & (pairs["rating"] == rating)]
        _panel(axis, part, mine)
        name_axes(axis, x=plain(shorten(rating, 36)), title=outcome_name(feature),
                  y=with_unit("Change", units.get(feature, "")))  # fmt: skip
    key_above(figure, condition_handles(mine))
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    for name, look in looks.items():
        part = rows[rows["condition"] == name]
        x, y = part["value"].to_numpy(dtype=float), part["delta"].to_numpy(dtype=float)
        axis.plot(x, y, look.marker, color=look.color, markersize=2.6, alpha=0.55,
                  markeredgewidth=0, gid="points")  # fmt: skip
        if len(x) >= 3 and np.ptp(x) > 0:
            slope, start = np.polyfit(x - x.mean(), y, 1)
            ends = np.array([x.min(), x.max()])
            axis.plot(ends, start + slope * (ends - x.mean()), color=look.color,
                      linestyle=look.line, linewidth=1.2)  # fmt: skip
    axis.axhline(0, color=INK, linewidth=0.6, zorder=1)
    axis.locator_params(nbins=5)
    r = within_correlation(rows)
    people = rows["participant"].nunique()
    said = f"r = {coefficient(r)}, n = {people}" if np.isfinite(r) else f"n = {people}"
    axis.set_title(said, fontsize=SMALL_PT, loc="right", color=INK, pad=3)
