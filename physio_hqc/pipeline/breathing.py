"""Breathing, from a belt where one was worn, else from the heart; and what it says of the heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc import features, signals
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.pipeline.parts import (
    FloatArray,
    Part,
    how_often,
    on_clock,
    with_all_parts,
)
from physio_hqc.pipeline.streams import open_signal
from physio_hqc.session import Stream
from physio_hqc.signals._spans import count_in, covered_time

_ENOUGH_HZ = 50.0


@dataclass(frozen=True)
class HeartBreathing:
    """Breathing as the heart shows it.

    Attributes
    ----------
    features : DataFrame
        One row per window; ``attrs["reasons"]``.
    facts : dict
        For the provenance.
    """

    features: pd.DataFrame
    facts: dict[str, Any]


def breathing_from_belt(
    stream: Stream, windows: FloatArray, config: PipelineConfig, notices: list[str]
) -> Part:
    """Breaths, their quality and features from recorded respiration."""
    values, clock = open_signal(stream, notices).thinned(_ENOUGH_HZ)
    breaths = signals.detect_breaths(values, clock.rate)
    valid = breaths["valid"].to_numpy(dtype=bool)
    facts = {
        "stream": stream.name,
        "source": "resp",
        "polarity": breaths.attrs["polarity"],
        "n_breaths": len(breaths),
        "n_valid": int(valid.sum()),
        "not_valid": how_often(breaths.loc[~valid, "reason"]),
    }
    breaths = on_clock(breaths, clock, ("inhale_s", "exhale_s", "end_s"))
    wide = features.respiration(breaths, windows, hf=config.hrv.hf_hz)
    quality = _quality(breaths, windows)
    return Part(stream.name, with_all_parts(quality), wide, breaths, facts)


def breathing_from_heart(
    heart: Part, windows: FloatArray, config: PipelineConfig
) -> HeartBreathing:
    """Breathing rate from beat intervals and, with an ECG, from the heights of the R waves."""
    course = signals.ecg_respiration(heart.beat_series, heart.r_heights)
    wide = features.respiration(course, windows, hf=config.hrv.hf_hz)
    share = float(course["valid"].mean()) if len(course) else 0.0
    facts = {
        "stream": heart.stream,
        "source": "ecg" if heart.r_heights is not None else "rr",
        "valid_share": round(share, 6),
    }
    return HeartBreathing(wide, facts)


def arrhythmia_of(
    heart: Part, belt: Part | None, windows: FloatArray, config: PipelineConfig
) -> pd.DataFrame:
    """Respiratory sinus arrhythmia; from peak to valley only where breaths were recorded."""
    return features.rsa(
        heart.beat_series,
        windows,
        breaths=None if belt is None else belt.table,
        max_corrected=config.correction.withhold_above,
        flag_corrected=config.correction.flag_above,
    )


def _quality(breaths: pd.DataFrame, windows: FloatArray) -> pd.DataFrame:
    """Share of each window that valid breaths cover, and of breaths that are valid."""
    inhale, end = (breaths[name].to_numpy(dtype=np.float64) for name in ("inhale_s", "end_s"))
    valid = breaths["valid"].to_numpy(dtype=bool)
    length = windows[:, 1] - windows[:, 0]
    covered = covered_time(inhale[valid], end[valid], windows)
    usable = np.clip(np.divide(covered, length, out=np.zeros(len(length)), where=length > 0), 0, 1)
    n_all, n_valid = count_in(inhale, windows), count_in(inhale[valid], windows)
    share = np.divide(n_valid, n_all, out=np.full(len(length), np.nan), where=n_all > 0)
    texts = [
        "no breaths" if not n else f"{100 * (1 - part):.0f} % without valid breaths"
        for n, part in zip(n_all.tolist(), usable.tolist(), strict=True)
    ]
    return pd.DataFrame(
        {
            "quality": usable,
            "usable_share": usable,
            "valid_share": share,
            "n_beats": n_valid,
            "reason": np.where(usable < 0.9, texts, ""),
        }
    )
