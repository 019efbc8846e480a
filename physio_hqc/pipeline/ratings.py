"""Ratings of a session: who felt what, in which window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from physio_hqc.protocol import Protocol

COLUMNS = ("onset", "label", "value", "min", "max", "window", "partner", "source")


def ratings_of(
    events: pd.DataFrame, windows: pd.DataFrame, protocol: Protocol | None, notices: list[str]
) -> pd.DataFrame:
    """Collect ratings from rating events and from the payload of tagged windows.

    A rating belongs to the phase that its payload names; else to the last phase begun before it
    that asks for this rating; else to the last window begun before it. Windows carry ratings
    under ``ratings`` in their payload, or under the names of the protocol's scales.
    """
    scales = {} if protocol is None else {scale.name: scale for scale in protocol.ratings}
    rows = []
    for event in events.itertuples():
        payload = event.payload if isinstance(event.payload, Mapping) else {}
        for label, given in _given(str(event.kind), str(event.label), payload, set(scales)):
            value = _number(given)
            if math.isnan(value):
                notices.append(f"rating '{label}' at {event.onset:.0f} s has no number: left out")
                continue
            scale = scales.get(label)
            rows.append(
                {
                    "onset": float(event.onset),
                    "label": label,
                    "value": value,
                    "min": _number(payload.get("min", getattr(scale, "min", None))),
                    "max": _number(payload.get("max", getattr(scale, "max", None))),
                    "window": _window(event, label, payload, windows, protocol),
                    "partner": str(payload.get("partner", "")),
                    "source": str(event.source),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _given(
    kind: str, label: str, payload: Mapping[str, Any], scales: set[str]
) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every rating that an event carries."""
    if kind == "rating":
        yield label, payload.get("value", payload.get(label))
        return
    if kind not in ("phase", "interaction"):
        return
    given = payload.get("ratings")
    named = given if isinstance(given, Mapping) else {}
    yield from ((str(name), value) for name, value in named.items())
    yield from ((name, payload[name]) for name in sorted(scales & payload.keys() - named.keys()))


def _window(
    event: Any,
    label: str,
    payload: Mapping[str, Any],
    windows: pd.DataFrame,
    protocol: Protocol | None,
) -> str:
    """Name of the phase or interaction window that a rating is about; "" where there is none."""
    places = windows[windows["kind"].isin(("phase", "interaction"))]
    if event.kind != "rating":
        same = places[(places["onset"] == event.onset) & (places["label"] == event.label)]
        return _last(same)
    begun = places[places["onset"] < event.onset]
    named = payload.get("phase", payload.get("window"))
    if named:
        return _last(begun[(begun["label"] == named) | (begun["window"] == named)]) or str(named)
    asking = set() if protocol is None else {p.name for p in protocol.phases if label in p.ratings}
    return _last(begun[begun["phase"].isin(asking) & (begun["kind"] == "phase")]) or _last(begun)


def _last(windows: pd.DataFrame) -> str:
    """Name of the window that began last."""
    return "" if windows.empty else str(windows.loc[windows["onset"].idxmax(), "window"])


def _number(value: Any) -> float:
    """Return a finite number, or NaN for whatever else an event may carry."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
