"""Beats, their quality and heart rate variability, from an ECG or from a device's intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc import features, signals
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.pipeline.intervals import beats_from_intervals
from physio_hqc.pipeline.parts import (
    FloatArray,
    Part,
    how_often,
    with_all_parts,
)
from physio_hqc.pipeline.streams import open_signal, read_intervals
from physio_hqc.session import Stream
from physio_hqc.signals import Beats
from physio_hqc.signals._ecg_quality import corrected_kinds, judge_beats, quality_table
from physio_hqc.signals._ecg_scan import EcgScan
from physio_hqc.signals._spans import count_in, covered_time
from physio_hqc.signals.quality import corrected_beats


def heart_from_ecg(
    stream: Stream, windows: FloatArray, config: PipelineConfig, notices: list[str]
) -> Part:
    """Beats, their quality and HRV from an ECG, which is read twice and never stands in memory."""
    ecg = open_signal(stream, notices)
    detector = signals.RPeakDetector(ecg.sfreq)
    for piece in ecg.pieces():
        detector.feed(piece)
    places = detector.finish()
    scan = EcgScan(ecg.sfreq, places)
    for piece in ecg.pieces():
        scan.feed(piece)
    facts = scan.finish()
    detected = judge_beats(ecg.clock.times_of(places), facts.shapes)
    if not config.ecg.leave_out_artifacts:
        detected = replace(detected, artifacts=np.empty((0, 2)))
    beats = corrected_beats(detected, facts.missing, ecg.clock)
    quality = quality_table(facts, detected, beats, ecg.clock, windows)
    inside = detected.inside
    said = {
        "stream": stream.name,
        "detector": "slope energy",
        **_beat_facts(beats),
        "n_detected": int(places.size),
        "n_unlike": int(np.count_nonzero(detected.unlike)),
        "n_in_artifacts": int(np.count_nonzero(inside)),
        "artifacts_s": round(float(np.diff(detected.artifacts, axis=1).sum()), 3),
        "not_searched_s": _lengths(detector.skipped, ecg.sfreq),
    }
    part = _heart(stream.name, beats, quality, windows, config, said)
    table = _with_left_out(part.table, detected.times_s[inside])
    return replace(part, table=table, r_heights=facts.heights[~inside])


def heart_from_intervals(
    stream: Stream, windows: FloatArray, config: PipelineConfig, notices: list[str]
) -> Part:
    """Beats, their quality and HRV from intervals that a device sent."""
    ends, rr = read_intervals(stream, notices)
    times, gaps = beats_from_intervals(ends, rr)
    beats = signals.correct_beats(times, gaps=gaps)
    quality = _interval_quality(beats, windows)
    facts = {
        "stream": stream.name,
        "detector": "intervals as the device sent them",
        "n_intervals": int(rr.size),
        "n_gaps": len(gaps),
        **_beat_facts(beats),
    }
    return _heart(stream.name, beats, quality, windows, config, facts)


def _heart(
    name: str,
    beats: Beats,
    quality: pd.DataFrame,
    windows: FloatArray,
    config: PipelineConfig,
    facts: dict[str, Any],
) -> Part:
    """Put the table of beats and the HRV features together."""
    wide = features.hrv(
        beats,
        windows,
        domains=config.hrv.domains,
        method=config.hrv.frequency_method,
        vlf=config.hrv.vlf_hz,
        lf=config.hrv.lf_hz,
        hf=config.hrv.hf_hz,
        max_corrected=config.correction.withhold_above,
        flag_corrected=config.correction.flag_above,
    )
    table = pd.DataFrame(
        {"time_s": beats.times_s, "rr_s": beats.rr_s, "kind": beats.kind, "source": name}
    )
    return Part(name, with_all_parts(quality), wide, table, facts, beats=beats)


def _lengths(skipped: pd.DataFrame, sfreq: float) -> dict[str, float]:
    """Seconds that were not searched for beats, by reason."""
    lengths = (skipped["stop"] - skipped["start"]).groupby(skipped["reason"]).sum() / sfreq
    return {str(reason): round(float(length), 3) for reason, length in lengths.items()}


def _with_left_out(table: pd.DataFrame, times_s: FloatArray) -> pd.DataFrame:
    """Beats together with the detections in artefact, which are used for nothing."""
    if not times_s.size:
        return table
    source = table["source"].iloc[0] if len(table) else ""
    more = pd.DataFrame({"time_s": times_s, "rr_s": np.nan, "kind": "artifact", "source": source})
    both = [table, more] if len(table) else [more]
    return pd.concat(both).sort_values("time_s", kind="stable", ignore_index=True)


def _interval_quality(beats: Beats, windows: FloatArray) -> pd.DataFrame:
    """Share of each window that intervals cover, lowered by the share of corrected beats."""
    ends, rr = beats.times_s, beats.rr_s
    known = np.isfinite(rr)
    covered = covered_time(ends[known] - rr[known], ends[known], windows)
    length = windows[:, 1] - windows[:, 0]
    usable = np.clip(np.divide(covered, length, out=np.zeros(len(length)), where=length > 0), 0, 1)
    n_beats = count_in(ends, windows)
    n_corrected = count_in(ends[beats.kind != "normal"], windows)
    corrected = np.divide(n_corrected, n_beats, out=np.zeros(len(length)), where=n_beats > 0)
    missing = [
        "no beats" if not n else f"{100 * (1 - share):.0f} % without intervals"
        for n, share in zip(n_beats, usable, strict=True)
    ]
    return pd.DataFrame(
        {
            "quality": usable * (1 - corrected),
            "usable_share": usable,
            "corrected_share": corrected,
            "corrected_kinds": corrected_kinds(beats, np.searchsorted(ends, windows)),
            "n_beats": n_beats,
            "reason": np.where(usable < 0.95, missing, ""),
        }
    )


def _beat_facts(beats: Beats) -> dict[str, Any]:
    """Counts for the provenance."""
    n_beats = int(beats.times_s.size)
    return {
        "correction": "Lipponen & Tarvainen 2019",
        "n_detected": int(beats.raw_times_s.size),
        "n_beats": n_beats,
        "n_corrected": int(beats.n_corrected),
        "corrected_share": round(beats.n_corrected / n_beats, 6) if n_beats else 0.0,
        "corrected_by_kind": how_often(pd.Series(beats.kind[beats.kind != "normal"], dtype=object)),
    }
