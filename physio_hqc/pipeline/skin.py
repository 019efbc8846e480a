"""Skin conductance: tonic and phasic parts, responses, quality and features."""

from __future__ import annotations

import numpy as np
import pandas as pd

from physio_hqc import features, signals
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.pipeline.parts import FloatArray, Part, how_often, on_clock, with_all_parts
from physio_hqc.pipeline.streams import open_signal
from physio_hqc.session import Stream

DISPLAY_HZ, DISPLAY_POINTS = 20.0, 500_000
_ENOUGH_HZ = 25.0


def skin_from_eda(
    stream: Stream, windows: FloatArray, config: PipelineConfig, notices: list[str]
) -> Part:
    """Tonic and phasic conductance, responses, quality and features."""
    values, clock = open_signal(stream, notices).thinned(_ENOUGH_HZ)
    times = clock.times_of(np.arange(clock.n, dtype=np.float64))
    criterion = config.eda.scr_amplitude_min_us
    tonic, phasic = signals.decompose_eda(values, clock.rate, method=config.eda.method)
    scrs = signals.detect_scrs(phasic, clock.rate, amplitude_min=criterion)
    scrs = on_clock(scrs, clock, ("onset_s", "peak_s"))
    artifacts = signals.eda_artifacts(values, clock.rate, times_s=times)
    quality = signals.eda_quality(values, clock.rate, windows, times_s=times)
    wide = features.eda(
        tonic, phasic, clock.rate, windows, scrs=scrs, times_s=times, artifacts=artifacts
    )
    facts = {
        "stream": stream.name,
        "decomposition": config.eda.method,
        "scr_amplitude_min_us": criterion,
        "n_scr": len(scrs),
        "artifacts_s": round(float((artifacts["offset_s"] - artifacts["onset_s"]).sum()), 3),
        "artifacts": how_often(artifacts["reason"]),
    }
    step = int(np.ceil(max(1.0, clock.rate / DISPLAY_HZ, clock.n / DISPLAY_POINTS)))
    columns = {"time_s": times, "eda": values, "tonic": tonic, "phasic": phasic}
    # Copies, so that the whole signals can be forgotten.
    trace = pd.DataFrame({name: column[::step].copy() for name, column in columns.items()})
    return Part(
        stream.name,
        with_all_parts(quality),
        wide,
        scrs,
        facts,
        artifacts=artifacts,
        span=clock.span,
        trace=trace,
    )


def responses_to(events: pd.DataFrame, skin: Part, config: PipelineConfig) -> pd.DataFrame:
    """First response to every event of the kinds asked for: latency, amplitude, rise time."""
    chosen = events[events["kind"].isin(config.eda.latency_of)].reset_index(drop=True)
    found = features.scr_latency(
        skin.table,
        chosen["onset"].to_numpy(dtype=np.float64),
        window=config.eda.scr_latency_s,
        artifacts=skin.artifacts,
        span=skin.span,
    )
    return pd.DataFrame(
        {
            "onset": chosen["onset"],
            "kind": chosen["kind"],
            "label": chosen["label"],
            "latency_s": found["SCR_Latency"],
            "amplitude": found["SCR_Amplitude"],
            "rise_time_s": found["SCR_RiseTime"],
            "reason": found.attrs["reasons"]["SCR_Latency"],
        }
    )
