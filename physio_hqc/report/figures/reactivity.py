"""Reactivity of the headline measures: delta from baseline per window, as small multiples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from physio_hqc.report._features import (
    compared_windows,
    needs_speech_caution,
    present_headlines,
    speech_matters,
)
from physio_hqc.report._format import signed
from physio_hqc.report._style import GREY, INK, grid, role_color
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_WINDOWS = 8


def reactivity_figure(reactivity: pd.DataFrame, windows: pd.DataFrame) -> Figure | None:
    """Draw delta from baseline of the headline measures, one panel each, one bar per phase.

    Parameters
    ----------
    reactivity : DataFrame
        window, kind, onset, feature, unit, delta.
    windows : DataFrame
        window, label, role, speech.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if no headline measure has a delta.
    """
    shown = compared_windows(reactivity, windows)[:MAX_WINDOWS]
    rows = reactivity[reactivity["window"].isin(shown) & reactivity["delta"].notna()]
    named = present_headlines(rows, "delta")
    if not named:
        return None
    facts = windows.assign(speech=speech_matters(windows))
    facts = facts.drop_duplicates("window").set_index("window")
    figure, axes = grid(len(named), columns=3, height_in=1.55)
    for axis, headline in zip(axes, named, strict=True):
        feature = headline.feature
        chosen = rows[rows["feature"] == feature].drop_duplicates("window").set_index("window")
        _draw(axis, headline.name, feature, chosen.reindex(shown), facts)
    return figure


def _draw(axis: Axes, name: str, feature: str, rows: pd.DataFrame, facts: pd.DataFrame) -> None:
    """One panel: bars from the zero of the baseline, each with its number."""
    deltas = rows["delta"].to_numpy(dtype=float)
    unit = str(rows["unit"].dropna().iloc[0])
    labels, colors, marks = [], [], []
    letters = max(5, 34 // max(len(rows), 1))
    for window in rows.index:
        known = facts.loc[window] if window in facts.index else None
        label = str(known["label"]) if known is not None and known["kind"] == "phase" else window
        labels.append(plain(shorten(label, letters) or label[:letters]))
        colors.append(role_color(known["role"] if known is not None else ""))
        speech = bool(known["speech"]) if known is not None else False
        marks.append("†" if needs_speech_caution(feature, speech) else "")
    x = np.arange(len(deltas))
    axis.bar(x, np.nan_to_num(deltas), color=colors, width=0.62, zorder=2)
    axis.axhline(0, color=INK, linewidth=0.9, zorder=3)
    for position, delta, mark in zip(x, deltas, marks, strict=True):
        known_delta = bool(np.isfinite(delta))
        axis.annotate(
            f"{signed(delta, unit)}{mark}" if known_delta else "–",
            (position, delta if known_delta else 0.0),
            xytext=(0, 3 if not known_delta or delta >= 0 else -3),
            textcoords="offset points",
            ha="center",
            va="bottom" if not known_delta or delta >= 0 else "top",
            fontsize=8.5,
            color=INK if known_delta else GREY,
        )
    low, high = min(0.0, np.nanmin(deltas)), max(0.0, np.nanmax(deltas))
    room = (high - low or 1.0) * 0.22
    axis.set_ylim(low - (room if low < 0 else room * 0.15), high + room)
    axis.set_xlim(-0.6, len(deltas) - 0.4)
    axis.set_xticks(x, labels, fontsize=8)
    axis.tick_params(axis="x", length=0)
    axis.locator_params(axis="y", nbins=4)
    axis.spines["bottom"].set_visible(False)
    said = "" if unit in ("", "1") else f" ({unit})"
    axis.set_title(f"Δ {name}{said}", fontsize=9.5, loc="left", color=INK, pad=6)
