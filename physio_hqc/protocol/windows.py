"""From tagged events to the windows that features are computed over."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import ConfigError
from physio_hqc.protocol.models import (
    ROLES,
    Phase,
    Protocol,
    Sliding,
    WindowRules,
    last_window_name,
)

WINDOW_COLUMNS: tuple[str, ...] = (
    "window",
    "kind",
    "label",
    "onset",
    "duration",
    "phase",
    "role",
    "speech",
)

MAX_WINDOWS = 1_000_000
_NEEDED = ("onset", "duration", "kind", "label")


@dataclass(frozen=True)
class _Window:
    """One row of the result, before it gets its unique name."""

    base: str
    kind: str
    label: str
    onset: float
    duration: float
    phase: str
    role: str
    speech: bool


def derive_windows(
    events: pd.DataFrame,
    protocol: Protocol | None = None,
    *,
    rules: WindowRules | None = None,
    t_end: float | None = None,
) -> pd.DataFrame:
    """Derive the windows of a session from its events.

    Every phase and every tagged interaction window becomes a window. The rules add windows over
    the last part of phases and sliding windows inside any of these. All are half-open intervals
    ``[onset, onset + duration)``.

    Parameters
    ----------
    events : DataFrame
        Columns onset and duration (s; a duration of NaN means still open), kind, label, and
        optionally payload (dict or JSON text). Kinds other than phase and interaction are ignored.
    protocol : Protocol or None
        Tells role and speech of a phase, and the rules. Without it a phase has the role and the
        speech that its event's payload carries, else "" and False: nothing is guessed.
    rules : WindowRules or None
        Used instead of the protocol's rules.
    t_end : float or None
        End of the recording in seconds: where an event that was never closed ends.

    Returns
    -------
    DataFrame
        One row per window: window (unique name), kind (phase, phase_last, interaction, sliding),
        label (of the event), onset, duration (s), phase (name of the phase that it belongs to),
        role, speech. Ordered by kind, then by onset. Events that make no window are listed, one
        sentence each, in ``attrs["dropped"]``.

    Raises
    ------
    ConfigError
        When a column is missing, an event is still open and nothing says where it ends, or the
        rules ask for more than a million windows.

    Notes
    -----
    An open phase ends where the next phase starts, else at `t_end`. The n-th window of one name
    gets the suffix ``_n``. A phase that is shorter than the last part asked for is taken whole.
    Only sliding windows of full length are made: ``floor((D - L) / step) + 1`` in a stretch of D.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.protocol import WindowRules
    >>> events = pd.DataFrame({"onset": [0.0, 300.0], "duration": [300.0, 120.0],
    ...                        "kind": ["phase", "phase"], "label": ["baseline", "speech"]})
    >>> rules = WindowRules(sliding={"length_s": 60.0, "step_s": 30.0, "within": ["speech"]})
    >>> windows = derive_windows(events, rules=rules)
    >>> print(windows[["window", "onset", "duration"]].to_string(index=False))
              window  onset  duration
            baseline    0.0     300.0
              speech  300.0     120.0
    speech_slide_001  300.0      60.0
    speech_slide_002  330.0      60.0
    speech_slide_003  360.0      60.0
    """
    _check_columns(events)
    chosen = rules or (protocol.windows if protocol else WindowRules())
    dropped: list[str] = []
    phases = _phases(_stretches(events, "phase", t_end, dropped), protocol)
    interactions = _interactions(_stretches(events, "interaction", t_end, dropped), phases)
    taken: dict[str, int] = {}
    named = _named([*phases, *interactions], taken)
    whole, tagged = named[: len(phases)], named[len(phases) :]
    last = _named(_last_parts(whole, chosen, protocol), taken)
    frames = [_frame([*whole, *last, *tagged])]
    if chosen.sliding is not None:
        parents = [*whole, *last, *tagged]
        frames.append(_sliding_frame(parents, chosen.sliding, taken))
    result = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    result.attrs["dropped"] = dropped
    return result


def _check_columns(events: pd.DataFrame) -> None:
    """Refuse a table without the columns that windows need."""
    missing = [column for column in _NEEDED if column not in events.columns]
    if missing:
        raise ConfigError(f"events need the columns {', '.join(_NEEDED)}: {missing[0]} is missing")


def _stretches(
    events: pd.DataFrame, kind: str, t_end: float | None, dropped: list[str]
) -> pd.DataFrame:
    """Events of one kind in time order with their ends known."""
    rows = events[events["kind"] == kind].reset_index(drop=True)
    payloads = rows["payload"] if "payload" in rows.columns else [None] * len(rows)
    table = pd.DataFrame(
        {
            "onset": pd.to_numeric(rows["onset"], errors="coerce").astype(float),
            "duration": pd.to_numeric(rows["duration"], errors="coerce").astype(float),
            "label": ["" if _is_missing(label) else str(label) for label in rows["label"]],
            "payload": pd.Series([_payload(entry) for entry in payloads], dtype=object),
        }
    )
    timed = np.isfinite(table["onset"])
    dropped += [f"{kind} '{label}': its onset is no number" for label in table["label"][~timed]]
    table = table[timed].sort_values("onset", kind="stable", ignore_index=True)
    table["duration"] = _close(table, kind, t_end)
    solid = np.isfinite(table["duration"]) & (table["duration"] > 0)
    dropped += [
        f"{kind} '{row.label}' at {row.onset:g} s: it has no length"
        for row in table[~solid].itertuples()
    ]
    return table[solid].reset_index(drop=True)


def _close(table: pd.DataFrame, kind: str, t_end: float | None) -> NDArray[np.float64]:
    """Durations in which events that are still open end at the next phase or at `t_end`."""
    onset = table["onset"].to_numpy()
    duration: NDArray[np.float64] = table["duration"].to_numpy(copy=True)
    still_open = np.isnan(duration)
    end = np.full(len(onset), np.nan if t_end is None else float(t_end))
    if kind == "phase":
        following = np.searchsorted(onset, onset, side="right")
        has_next = following < len(onset)
        end[has_next] = onset[following[has_next]]
    endless = still_open & np.isnan(end)
    if endless.any():
        first = int(np.argmax(endless))
        raise ConfigError(
            f"{kind} '{table['label'][first]}' at {onset[first]:g} s was never closed; "
            "give the end of the recording (t_end)"
        )
    duration[still_open] = (end - onset)[still_open]
    return duration


def _phases(stretches: pd.DataFrame, protocol: Protocol | None) -> list[_Window]:
    """Whole phases, with what the protocol knows of them."""
    known = _by_slug(protocol)
    return [
        _phase(row, known.get(_slug(row.label, "").casefold())) for row in stretches.itertuples()
    ]


def _phase(row: Any, phase: Phase | None) -> _Window:
    """One whole phase: the protocol tells role and speech, else the event's payload."""
    role, speech = (phase.role, phase.speech) if phase else _role_and_speech(row.payload)
    name = phase.name if phase else row.label
    base = _slug(name, "phase")
    return _Window(base, "phase", row.label, row.onset, row.duration, name, role, speech)


def _interactions(stretches: pd.DataFrame, phases: list[_Window]) -> list[_Window]:
    """Tagged interaction windows, each with the phase in which it begins."""
    onsets = np.array([phase.onset for phase in phases])
    ends = np.array([phase.onset + phase.duration for phase in phases])
    rows = []
    for row in stretches.itertuples():
        around = np.flatnonzero((onsets <= row.onset) & (row.onset < ends))
        phase = phases[around[-1]] if around.size else None
        name, role = (phase.phase, phase.role) if phase else ("", "")
        # Whoever talks in a part of the window breathes with the words in that part.
        touched = np.flatnonzero((onsets < row.onset + row.duration) & (row.onset < ends))
        speech = any(phases[k].speech for k in touched) or bool(phase and phase.speech)
        own_role, own_speech = _role_and_speech(row.payload)
        rows.append(
            _Window(
                base=_slug(row.label, "interaction"),
                kind="interaction",
                label=row.label,
                onset=row.onset,
                duration=row.duration,
                phase=name,
                role=own_role or role,
                speech=own_speech if "speech" in row.payload else speech,
            )
        )
    return rows


def _last_parts(
    phases: list[tuple[str, _Window]], rules: WindowRules, protocol: Protocol | None
) -> list[_Window]:
    """Windows over the last part of phases, each length once per phase."""
    wanted = [(rule.phases, rule.length_s) for rule in rules.phase_last]
    if protocol and protocol.baseline.last_s is not None:
        wanted.append(((protocol.baseline.phase,), protocol.baseline.last_s))
    parts: dict[str, _Window] = {}
    for window, phase in phases:
        for names, seconds in wanted:
            if names is not None and not _slugs(names) & {_slug(phase.phase, "").casefold()}:
                continue
            duration = min(seconds, phase.duration)
            onset = phase.onset + (phase.duration - duration)
            base = last_window_name(window, seconds)
            parts[base] = _Window(
                base,
                "phase_last",
                phase.label,
                onset,
                duration,
                phase.phase,
                phase.role,
                phase.speech,
            )
    return list(parts.values())


def _sliding_frame(
    parents: list[tuple[str, _Window]], rule: Sliding, taken: dict[str, int]
) -> pd.DataFrame:
    """Sliding windows of full length inside every parent that the rule names."""
    chosen = [(window, parent) for window, parent in parents if _is_within(parent, rule.within)]
    durations = np.array([parent.duration for _, parent in chosen])
    # 1e-9 of a step: 0.3 / 0.1 must count as three steps.
    steps = np.floor((durations - rule.length_s) / rule.step_s + 1e-9)
    counts = np.maximum(steps + 1, 0)
    if counts.sum() > MAX_WINDOWS:
        raise ConfigError(
            f"windows.sliding: a step of {rule.step_s:g} s makes {counts.sum():.3g} windows, more "
            f"than {MAX_WINDOWS}; choose a longer step"
        )
    frames = [
        _slide(window, parent, int(count), rule, taken)
        for (window, parent), count in zip(chosen, counts, strict=True)
        if count
    ]
    return pd.concat(frames, ignore_index=True) if frames else _frame([])


def _slide(
    window: str, parent: _Window, count: int, rule: Sliding, taken: dict[str, int]
) -> pd.DataFrame:
    """Cut the sliding windows of one parent."""
    digits = max(3, len(str(count)))
    names = [f"{window}_slide_{number:0{digits}d}" for number in range(1, count + 1)]
    return pd.DataFrame(
        {
            "window": [_unique(name, taken) for name in names],
            "kind": "sliding",
            "label": parent.label,
            "onset": parent.onset + rule.step_s * np.arange(count),
            "duration": rule.length_s,
            "phase": parent.phase,
            "role": parent.role,
            "speech": parent.speech,
        }
    )


def _is_within(parent: _Window, within: tuple[str, ...]) -> bool:
    """Whether a rule names this window: by its kind, or by the name or role of what it is."""
    if parent.kind in within:
        return True
    if parent.kind == "phase_last":
        return False
    names = {_slug(parent.label, "").casefold()}
    if parent.kind == "phase":
        names |= {_slug(parent.phase, "").casefold(), parent.role}
    return bool(_slugs(within) & (names - {""}))


def _named(rows: list[_Window], taken: dict[str, int]) -> list[tuple[str, _Window]]:
    """Give every window a unique name; `taken` grows by them."""
    return [(_unique(row.base, taken), row) for row in rows]


def _unique(base: str, taken: dict[str, int]) -> str:
    """Find a name that is free, with a suffix from 2 on, and take it.

    `taken` counts how often each name was asked for, so that many equal labels cost no search.
    """
    name = base
    while name in taken:
        taken[base] += 1
        name = f"{base}_{taken[base]}"
    taken[name] = 1
    return name


def _frame(rows: list[tuple[str, _Window]]) -> pd.DataFrame:
    """Table of windows with fixed columns and types, also when there are none."""
    return pd.DataFrame(
        {
            "window": pd.Series([name for name, _ in rows], dtype=object),
            "kind": pd.Series([row.kind for _, row in rows], dtype=object),
            "label": pd.Series([row.label for _, row in rows], dtype=object),
            "onset": pd.Series([row.onset for _, row in rows], dtype=float),
            "duration": pd.Series([row.duration for _, row in rows], dtype=float),
            "phase": pd.Series([row.phase for _, row in rows], dtype=object),
            "role": pd.Series([row.role for _, row in rows], dtype=object),
            "speech": pd.Series([row.speech for _, row in rows], dtype=bool),
        }
    )


def _by_slug(protocol: Protocol | None) -> dict[str, Phase]:
    """Phases of a protocol by what an event may call them: their name, else their label."""
    if protocol is None:
        return {}
    labels = {_slug(phase.label, "").casefold(): phase for phase in protocol.phases}
    return labels | {_slug(phase.name, "").casefold(): phase for phase in protocol.phases}


def _slug(label: str, otherwise: str) -> str:
    """Letters, digits and underscores of a label."""
    return re.sub(r"\W+", "_", label).strip("_") or otherwise


def _slugs(names: tuple[str, ...]) -> set[str]:
    """Names as they are compared: without regard to capitals."""
    return {_slug(name, "").casefold() for name in names}


def _payload(entry: Any) -> Mapping[str, Any]:
    """Payload of an event as a mapping; anything else counts as none."""
    if isinstance(entry, str):
        try:
            entry = json.loads(entry)
        except (ValueError, RecursionError):
            return {}
    return entry if isinstance(entry, Mapping) else {}


def _role_and_speech(payload: Mapping[str, Any]) -> tuple[str, bool]:
    """Role and speech that an event's payload carries."""
    role = payload.get("role", "")
    return (role if role in ROLES else ""), payload.get("speech") is True


def _is_missing(label: Any) -> bool:
    """Whether a label is an empty cell."""
    return label is None or (isinstance(label, float) and np.isnan(label))
