"""Pressure beats, cuff readings and the baroreflex."""

from __future__ import annotations

import numpy as np
import pandas as pd

from physio_hqc import features
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.pipeline.parts import (
    FloatArray,
    Part,
    how_often,
    on_clock,
    with_all_parts,
)
from physio_hqc.pipeline.streams import open_signal, read_cuff
from physio_hqc.session import Stream
from physio_hqc.signals._pressure_quality import quality_of_beats
from physio_hqc.signals._pressure_scan import PressureScan
from physio_hqc.signals._spans import count_in

_FIRST_DISCARDED = "the protocol discards the baseline's first reading"


def pressure_from_waveform(
    stream: Stream,
    windows: FloatArray,
    config: PipelineConfig,
    notices: list[str],
    heart: Part | None = None,
) -> Part:
    """Pressure beats, their quality and features from continuous pressure."""
    pressure = open_signal(stream, notices)
    clock, settings = pressure.clock, config.pressure
    scan = PressureScan(
        pressure.sfreq,
        sbp_limits=settings.waveform_sbp_mmhg,
        dbp_limits=settings.waveform_dbp_mmhg,
        pp_min=settings.pulse_pressure_min_mmhg,
    )
    for piece in pressure.pieces():
        scan.feed(piece)
    beats = on_clock(scan.finish(), clock, ("foot_s", "systole_s"))
    present, flat = (clock.times_of(spans * clock.rate) for spans in (scan.present_s, scan.flat_s))
    quality = quality_of_beats(beats, present, flat, windows)
    facts = {
        "stream": stream.name,
        "n_beats": len(beats),
        "n_valid": int(beats["valid"].sum()),
        "not_valid": how_often(beats.loc[~beats["valid"], "reason"]),
    }
    # Only R peaks tell when the heart was excited; a device's intervals do not.
    r_peaks = None if heart is None or heart.r_heights is None else heart.beats
    wide = features.blood_pressure(beats, windows, beats=r_peaks, heart_rate=_heart_rate(heart))
    return Part(stream.name, with_all_parts(quality), wide, beats, facts)


def pressure_from_cuff(
    stream: Stream,
    windows: FloatArray,
    config: PipelineConfig,
    notices: list[str],
    discard_first_in: FloatArray,
) -> Part:
    """Features of cuff readings, without the first reading in the stretches (k, 2) given."""
    settings = config.pressure
    readings = read_cuff(stream, notices)
    n_given = len(readings)
    times = readings["time_s"].to_numpy(dtype=np.float64)
    first = np.searchsorted(times, discard_first_in[:, 0])
    inside = count_in(times, discard_first_in) > 0
    discarded = first[inside]
    judged = features.cuff_readings(
        readings,
        sbp_limits=settings.sbp_mmhg,
        dbp_limits=settings.dbp_mmhg,
        pp_min=settings.pulse_pressure_min_mmhg,
    )
    judged.loc[discarded, ["valid", "reason"]] = [False, _FIRST_DISCARDED]
    readings = readings.drop(index=discarded).reset_index(drop=True)
    notices += [
        f"cuff reading at {times[k]:.0f} s left out: the protocol discards the baseline's first"
        for k in discarded.tolist()
    ]
    wide = features.cuff_pressure(
        readings,
        windows,
        sbp_limits=settings.sbp_mmhg,
        dbp_limits=settings.dbp_mmhg,
        pp_min=settings.pulse_pressure_min_mmhg,
        readings_recommended=settings.cuff_min_readings,
    )
    n_all = count_in(readings["time_s"].to_numpy(dtype=np.float64), windows)
    n_valid = wide["CUFF_N"].to_numpy()
    share = np.divide(n_valid, n_all, out=np.full(len(windows), np.nan), where=n_all > 0)
    reason = np.where(n_all == 0, "no reading", np.where(share < 1, "readings not valid", ""))
    quality = pd.DataFrame({"quality": share, "n_beats": n_valid, "reason": reason})
    facts = {
        "stream": stream.name,
        "n_readings": n_given,
        "n_used": len(readings),
        "n_valid": int(judged["valid"].sum()),
    }
    return Part(stream.name, with_all_parts(quality), wide, judged, facts)


def baroreflex_from(
    heart: Part, pressure: Part, windows: FloatArray, config: PipelineConfig
) -> pd.DataFrame:
    """Baroreflex sensitivity from beats and pressure beats, one row per window."""
    settings = config.pressure
    return features.baroreflex(
        heart.beat_series,
        pressure.table,
        windows,
        lag=settings.brs_lag_beats,
        sbp_step_min=settings.brs_sbp_step_mmhg,
        rr_step_min=settings.brs_rr_step_ms,
        n_beats_min=settings.brs_min_beats,
        r_min=settings.brs_min_r,
        xbrs_min=settings.xbrs_min,
        coherence_min=settings.brs_min_coherence,
        lf=config.hrv.lf_hz,
        hf=config.hrv.hf_hz,
    )


def _heart_rate(heart: Part | None) -> FloatArray | None:
    """Heart rate of every window in 1/min; None where the time domain was not asked for."""
    if heart is None or "HRV_MeanNN" not in heart.features:
        return None
    rate: FloatArray = 60_000.0 / heart.features["HRV_MeanNN"].to_numpy(dtype=np.float64)
    return rate
