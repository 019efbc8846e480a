"""From the streams of a session to beats, components, quality and features per window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc import features, signals
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.pipeline.intervals import beats_from_intervals
from physio_hqc.pipeline.streams import Signal, read_cuff, read_intervals, read_signal
from physio_hqc.session import Stream
from physio_hqc.signals import Beats

FloatArray = NDArray[np.float64]

DISPLAY_HZ = 20.0
_QUALITY = ("quality", "usable_share", "corrected_share", "n_beats", "reason")


@dataclass(frozen=True)
class Part:
    """What one stream gave.

    Attributes
    ----------
    stream : str
        Its name.
    quality : DataFrame
        One row per window: quality, usable_share, corrected_share, n_beats, reason.
    features : DataFrame
        One row per window, one column per feature; ``attrs["reasons"]``.
    table : DataFrame
        Beats, pressure beats or responses; empty where there is no such table.
    facts : dict
        Settings and counts for the provenance.
    beats : Beats or None
        Of the heart.
    trace : DataFrame or None
        For display.
    """

    stream: str
    quality: pd.DataFrame
    features: pd.DataFrame
    table: pd.DataFrame
    facts: dict[str, Any]
    beats: Beats | None = None
    trace: pd.DataFrame | None = None


def heart_from_ecg(
    stream: Stream, windows: FloatArray, config: PipelineConfig, notices: list[str]
) -> Part:
    """Beats, their quality and HRV from an ECG."""
    ecg = read_signal(stream, notices)
    peaks = signals.detect_r_peaks(ecg.values, ecg.sfreq, method=config.ecg.detector)
    beats = signals.correct_beats(ecg.time_of(peaks), gaps=ecg.gaps)
    quality = signals.ecg_quality(ecg.values, ecg.sfreq, windows, beats=beats, times_s=ecg.times_s)
    facts = {"stream": stream.name, "detector": config.ecg.detector, **_beat_facts(beats)}
    return _heart(stream.name, beats, quality, windows, config, facts)


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


def pressure_from_waveform(
    stream: Stream,
    windows: FloatArray,
    config: PipelineConfig,
    notices: list[str],
    heart: Part | None = None,
) -> Part:
    """Pressure beats, their quality and features from continuous pressure."""
    pressure = read_signal(stream, notices)
    settings = config.pressure
    beats = signals.detect_pressure_beats(
        pressure.values,
        pressure.sfreq,
        sbp_limits=settings.sbp_mmhg,
        dbp_limits=settings.dbp_mmhg,
        pp_min=settings.pulse_pressure_min_mmhg,
    )
    beats = _on_clock(beats, pressure, ("foot_s", "systole_s"))
    quality = signals.pressure_quality(
        pressure.values, pressure.sfreq, windows, beats=beats, times_s=pressure.times_s
    )
    facts = {
        "stream": stream.name,
        "n_beats": len(beats),
        "n_valid": int(beats["valid"].sum()),
        "not_valid": _counts(beats.loc[~beats["valid"], "reason"]),
    }
    wide = features.blood_pressure(beats, windows, heart_rate=_heart_rate(heart))
    return Part(stream.name, _quality(quality), wide, beats, facts)


def pressure_from_cuff(
    stream: Stream,
    windows: FloatArray,
    config: PipelineConfig,
    notices: list[str],
    discard_first_in: FloatArray,
) -> Part:
    """Features of cuff readings, without the first reading in the stretches (k, 2) given."""
    readings = read_cuff(stream, notices)
    n_given = len(readings)
    times = readings["time_s"].to_numpy(dtype=np.float64)
    first = np.searchsorted(times, discard_first_in[:, 0])
    inside = _count(times, discard_first_in) > 0
    readings = readings.drop(index=first[inside]).reset_index(drop=True)
    notices += [
        f"cuff reading at {times[k]:.0f} s left out: the protocol discards the baseline's first"
        for k in first[inside].tolist()
    ]
    settings = config.pressure
    wide = features.cuff_pressure(
        readings,
        windows,
        sbp_limits=settings.sbp_mmhg,
        dbp_limits=settings.dbp_mmhg,
        pp_min=settings.pulse_pressure_min_mmhg,
        readings_recommended=settings.cuff_min_readings,
    )
    n_all = _count(readings["time_s"].to_numpy(dtype=np.float64), windows)
    n_valid = wide["CUFF_N"].to_numpy()
    share = np.divide(n_valid, n_all, out=np.full(len(windows), np.nan), where=n_all > 0)
    reason = np.where(n_all == 0, "no reading", np.where(share < 1, "readings not valid", ""))
    quality = pd.DataFrame({"quality": share, "n_beats": n_valid, "reason": reason})
    facts = {"stream": stream.name, "n_readings": n_given, "n_used": len(readings)}
    return Part(stream.name, _quality(quality), wide, readings, facts)


def baroreflex_from(
    heart: Part, pressure: Part, windows: FloatArray, config: PipelineConfig
) -> pd.DataFrame:
    """Baroreflex sensitivity from beats and pressure beats, one row per window."""
    settings = config.pressure
    beats = heart.table["time_s"].to_numpy() if heart.beats is None else heart.beats
    return features.baroreflex(
        beats,
        pressure.table,
        windows,
        lag=settings.brs_lag_beats,
        sbp_step_min=settings.brs_sbp_step_mmhg,
        rr_step_min=settings.brs_rr_step_ms,
        n_beats_min=settings.brs_min_beats,
        r_min=settings.brs_min_r,
    )


def skin_from_eda(
    stream: Stream, windows: FloatArray, config: PipelineConfig, notices: list[str]
) -> Part:
    """Tonic and phasic conductance, responses, quality and features."""
    eda = read_signal(stream, notices)
    criterion = config.eda.scr_amplitude_min_us
    tonic, phasic = signals.decompose_eda(eda.values, eda.sfreq, method=config.eda.method)
    scrs = signals.detect_scrs(phasic, eda.sfreq, amplitude_min=criterion)
    scrs = _on_clock(scrs, eda, ("onset_s", "peak_s"))
    quality = signals.eda_quality(eda.values, eda.sfreq, windows, times_s=eda.times_s)
    wide = features.eda(tonic, phasic, eda.sfreq, windows, scrs=scrs, times_s=eda.times_s)
    facts = {
        "stream": stream.name,
        "decomposition": config.eda.method,
        "scr_amplitude_min_us": criterion,
        "n_scr": len(scrs),
    }
    step = max(1, int(np.ceil(eda.sfreq / DISPLAY_HZ)))
    trace = pd.DataFrame(
        {"time_s": eda.times_s, "eda": eda.values, "tonic": tonic, "phasic": phasic}
    )[::step].reset_index(drop=True)
    return Part(stream.name, _quality(quality), wide, scrs, facts, trace=trace)


def _heart_rate(heart: Part | None) -> FloatArray | None:
    """Heart rate of every window in 1/min; None where the time domain was not asked for."""
    if heart is None or "HRV_MeanNN" not in heart.features:
        return None
    rate: FloatArray = 60_000.0 / heart.features["HRV_MeanNN"].to_numpy(dtype=np.float64)
    return rate


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
    return Part(name, _quality(quality), wide, table, facts, beats=beats)


def _interval_quality(beats: Beats, windows: FloatArray) -> pd.DataFrame:
    """Share of each window that intervals cover, lowered by the share of corrected beats."""
    ends, rr = beats.times_s, beats.rr_s
    known = np.isfinite(rr)
    covered = _covered(ends[known] - rr[known], ends[known], windows)
    length = windows[:, 1] - windows[:, 0]
    usable = np.clip(np.divide(covered, length, out=np.zeros(len(length)), where=length > 0), 0, 1)
    n_beats = _count(ends, windows)
    n_corrected = _count(ends[beats.kind != "normal"], windows)
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
            "n_beats": n_beats,
            "reason": np.where(usable < 0.95, missing, ""),
        }
    )


def _covered(start: FloatArray, stop: FloatArray, windows: FloatArray) -> FloatArray:
    """Seconds of each window inside the stretches, which are ascending and do not overlap."""
    if not start.size:
        return np.zeros(len(windows))
    edges = np.column_stack([start, stop]).ravel()
    total = np.cumsum(np.column_stack([np.zeros(start.size), stop - start]).ravel())
    inside: FloatArray = np.diff(np.interp(windows, edges, total), axis=1)[:, 0]
    return inside


def _count(times: FloatArray, windows: FloatArray) -> NDArray[np.int64]:
    """Number of ascending times in each half-open window."""
    first, last = np.searchsorted(times, windows[:, 0]), np.searchsorted(times, windows[:, 1])
    return (last - first).astype(np.int64)


def _on_clock(table: pd.DataFrame, signal: Signal, columns: tuple[str, ...]) -> pd.DataFrame:
    """Bring times counted in samples / sfreq to session time."""
    moved = {
        column: signal.time_of(table[column].to_numpy(dtype=np.float64) * signal.sfreq)
        for column in columns
    }
    return table.assign(**moved)


def _quality(quality: pd.DataFrame) -> pd.DataFrame:
    """Quality table with all columns; NaN for what a stream has not."""
    missing = [column for column in _QUALITY if column not in quality.columns]
    return quality.assign(**dict.fromkeys(missing, np.nan))[list(_QUALITY)]


def _beat_facts(beats: Beats) -> dict[str, Any]:
    """Counts for the provenance."""
    n_beats = int(beats.times_s.size)
    return {
        "correction": "Lipponen & Tarvainen 2019",
        "n_detected": int(beats.raw_times_s.size),
        "n_beats": n_beats,
        "n_corrected": int(beats.n_corrected),
        "corrected_share": round(beats.n_corrected / n_beats, 6) if n_beats else 0.0,
        "corrected_by_kind": _counts(pd.Series(beats.kind[beats.kind != "normal"], dtype=object)),
    }


def _counts(texts: pd.Series) -> dict[str, int]:
    """How often each text occurs, in the order of the alphabet."""
    return {str(text): int(n) for text, n in texts.value_counts().sort_index().items()}
