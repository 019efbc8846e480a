"""Participants from the list to the analysis: a flow chart with one column per condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import pandas as pd

from physio_hqc.report._format import plural
from physio_hqc.report._study_style import HEAD_PT, SMALL_PT, Look, paper, place
from physio_hqc.report._style import INK
from physio_hqc.report.figures._shade import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES: Final = ("In participants table", "Recorded", "Processed", "Analysed")
LOST: Final = ("no session", "not processed", "excluded")
MAX_CONDITIONS: Final = 6
_BOX, _BETWEEN, _LINE = 9.0, 5.0, 3.1
_REASONS = 3
_LINES: Final = "#57606A"


def flow_counts(participants: pd.DataFrame, flow: pd.DataFrame) -> pd.DataFrame:
    """Count who reached each stage, by condition.

    Parameters
    ----------
    participants : DataFrame
        id, condition. May be empty: the flow then holds all who are known.
    flow : DataFrame
        participant, condition, status.

    Returns
    -------
    DataFrame
        One row per condition; columns are the four stages.

    Examples
    --------
    >>> people = pd.DataFrame({"id": ["a", "b"], "condition": "alone"})
    >>> flow = pd.DataFrame({"participant": ["a", "b"], "condition": "alone",
    ...                      "status": ["analysed", "no session"]})
    >>> flow_counts(people, flow).loc["alone"].tolist()
    [2, 1, 1, 1]
    """
    listed = participants.groupby("condition", sort=False)["id"].nunique()
    once = flow.drop_duplicates(["participant", "session"]) if "session" in flow else flow
    reached = {
        "Recorded": once["status"] != LOST[0],
        "Processed": once["status"].isin(("analysed", LOST[2])),
        "Analysed": once["status"] == "analysed",
    }
    made = {STAGES[0]: listed} | {
        name: once[keep].groupby("condition", sort=False)["participant"].nunique()
        for name, keep in reached.items()
    }
    if not len(participants):
        made[STAGES[0]] = once.groupby("condition", sort=False)["participant"].nunique()
    return pd.DataFrame(made).reindex(columns=list(STAGES)).fillna(0).astype(int)


def lost_with_reasons(flow: pd.DataFrame, condition: str, status: str) -> list[str]:
    """Say how many were lost at a stage and why, the most frequent reason first."""
    rows = flow[(flow["condition"] == condition) & (flow["status"] == status)]
    if not len(rows):
        return []
    reasons = rows["reason"].replace("", "no reason given").value_counts(sort=False)
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], str(pair[0])))
    if len(ordered) == 1:
        return [f"{status}: {len(rows)}", str(ordered[0][0])]
    said = [f"{reason} ({count})" for reason, count in ordered[:_REASONS]]
    more = len(ordered) - _REASONS
    if more > 0:
        said.append(f"{plural(more, 'other reason')}")
    return [f"{status}: {len(rows)}", *said]


def flow_figure(
    participants: pd.DataFrame, flow: pd.DataFrame, looks: Mapping[str, Look]
) -> Figure | None:
    """Draw the flow of participants, after the CONSORT statement, one column per condition.

    Parameters
    ----------
    participants : DataFrame
        id, condition.
    flow : DataFrame
        participant, session, condition, status, reason.
    looks : mapping of str to Look
        Conditions in order; the six first are drawn.

    Returns
    -------
    matplotlib.figure.Figure or None
        None without participants.
    """
    counts = flow_counts(participants, flow)
    names = [name for name in looks if name in counts.index][:MAX_CONDITIONS]
    if not names:
        return None
    room = 183.0 / len(names)
    letters = max(10, int(((room / 2 - 3.0) if room >= 50 else room - 4.0) / 1.34))
    lost = {name: [_wrapped(flow, name, status, letters) for status in LOST] for name in names}
    between = [
        _BETWEEN + max(len(lost[name][k]) for name in names) * _LINE for k in range(len(LOST))
    ]
    figure = paper(14.0 + _BOX * len(STAGES) + sum(between) + 2.0)
    _, high = figure.get_size_inches() * 25.4
    axis = place(figure, 0.0, 0.0, 183.0, float(high))
    axis.set_axis_off()
    axis.set_xlim(0, 183)
    axis.set_ylim(float(high), 0)
    total = int(counts.loc[names, STAGES[0]].sum())
    _box(axis, 91.5, 1.0, 70.0, 8.0, f"{plural(total, 'participant')} in the participants table")
    for k, name in enumerate(names):
        _column(axis, name, counts.loc[name], lost[name], looks[name], (k + 0.5) * room, room,
                between)  # fmt: skip
    return figure


def _wrapped(flow: pd.DataFrame, name: str, status: str, letters: int) -> list[str]:
    """Lines of the text between two boxes; long reasons are broken, at most two lines each."""
    import textwrap

    lines: list[str] = []
    for text in lost_with_reasons(flow, name, status):
        clean = "".join(c if c.isprintable() else " " for c in text)
        lines += textwrap.wrap(clean, letters, max_lines=2, placeholder=" …")
    return lines


def _column(
    axis: Axes,
    name: str,
    counts: pd.Series,
    lost: list[list[str]],
    look: Look,
    middle: float,
    room: float,
    between: list[float],
) -> None:
    wide = min(room - 4.0, 44.0)
    y = 14.0
    axis.plot([91.5, 91.5, middle], [9.0, 11.5, 11.5], color=_LINES, linewidth=0.8, zorder=1)
    axis.annotate("", (middle, y), (middle, 11.5), arrowprops=_arrow())
    for k, stage in enumerate(STAGES):
        said = plain(shorten(name or "no condition", int(wide / 1.5))) if not k else stage
        heavy = k in (0, len(STAGES) - 1)
        _box(axis, middle, y, wide, _BOX, f"{said}\nn = {counts[stage]}",
             color=look.color if heavy else "#8C959F")  # fmt: skip
        y += _BOX
        if k == len(STAGES) - 1:
            break
        axis.annotate("", (middle, y + between[k]), (middle, y), arrowprops=_arrow())
        wide_enough = room >= 50
        if lost[k]:
            axis.text(
                middle + 2.0 if wide_enough else middle, y + between[k] / 2,
                plain("\n".join(lost[k])), fontsize=SMALL_PT, color=INK, va="center",
                ha="left" if wide_enough else "center",
                linespacing=1.15,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
        y += between[k]


def _box(
    axis: Axes, middle: float, top: float, wide: float, high: float, text: str, color: str = INK
) -> None:
    from matplotlib.patches import Rectangle

    axis.add_patch(
        Rectangle((middle - wide / 2, top), wide, high, facecolor="white", edgecolor=color,
                  linewidth=1.1)
    )  # fmt: skip
    axis.text(middle, top + high / 2, text, fontsize=HEAD_PT, color=INK, ha="center", va="center",
              linespacing=1.2)  # fmt: skip


def _arrow() -> dict[str, object]:
    return {"arrowstyle": "-|>", "color": _LINES, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0,
            "mutation_scale": 6}  # fmt: skip
