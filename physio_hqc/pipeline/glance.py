"""How good the signals of a session are, from samples of them: quick however long it lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.errors import SignalError
from physio_hqc.session import Session, Stream
from physio_hqc.signals import ecg_quality, eda_quality, pressure_quality

_JUDGES: dict[str, Callable[..., pd.DataFrame]] = {
    "ecg": ecg_quality,
    "bp": pressure_quality,
    "eda": eda_quality,
}
_STRETCHES = 10
_STRETCH_S = 60.0


def quality_at_a_glance(session: Session) -> dict[str, dict[str, Any]]:
    """Judge ECG, pressure and EDA streams from up to ten evenly spread minutes of each.

    Parameters
    ----------
    session : Session

    Returns
    -------
    dict
        Stream name -> ``quality`` and ``usable_share`` (means, 0 to 1; None if unknown),
        ``seconds`` looked at, and ``reason``, what the worst stretch lacks. Streams that nobody
        can judge (an odd unit, too low a rate) are left out.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import open_session
    >>> from physio_hqc.simulate import simulate_session
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> _ = simulate_session(path, seed=1, time_scale=0.05, streams=["eda"])
    >>> with open_session(path) as session:
    ...     round(quality_at_a_glance(session)["eda"]["usable_share"], 1)
    1.0
    """
    found = {name: _judge(stream) for name, stream in session.streams.items()}
    return {name: facts for name, facts in found.items() if facts is not None}


def _judge(stream: Stream) -> dict[str, Any] | None:
    judge = _JUDGES.get(stream.modality)
    if judge is None or not stream.sfreq or not stream.n_samples:
        return None
    rows = []
    seconds = 0.0
    for onset, offset in _spread(float(stream.segments["t_start"].iloc[0]), stream.t_end):
        _, samples = stream.filled(onset, offset)
        if samples.ndim != 1 or not samples.size:
            continue
        try:
            rows.append(judge(samples, stream.measured_sfreq).iloc[0])
        except SignalError:
            return None
        seconds += samples.size / stream.measured_sfreq
    if not rows:
        return None
    worst = min(rows, key=lambda row: np.nan_to_num(row["quality"]))
    return {
        "quality": _mean([row["quality"] for row in rows]),
        "usable_share": _mean([row["usable_share"] for row in rows]),
        "seconds": round(seconds, 1),
        "reason": str(worst["reason"]),
    }


def _spread(start: float, end: float) -> list[tuple[float, float]]:
    """Up to ten minutes, evenly spread; all of a short recording."""
    if end - start <= _STRETCHES * _STRETCH_S:
        return [(start, end + 1e-6)]
    onsets = np.linspace(start, end - _STRETCH_S, _STRETCHES)
    return [(float(onset), float(onset) + _STRETCH_S) for onset in onsets]


def _mean(values: list[float]) -> float | None:
    known = np.array([value for value in values if np.isfinite(value)])
    return float(known.mean()) if known.size else None
