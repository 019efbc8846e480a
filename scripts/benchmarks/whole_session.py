"""Part `session`: a session from file to tables, beside NeuroKit2 doing what it can of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import OURS, Options, PartResult, Table, interleaved, ratio

FloatArray = NDArray[np.float64]

ECG_SFREQ, BP_SFREQ, EDA_SFREQ = 1000.0, 200.0, 100.0
PHASE_S = 300.0


def protocol(phases: int, phase_s: float = PHASE_S) -> Any:
    """Return a protocol of so many phases of equal length and role; each is one window."""
    from physio_hqc.protocol import parse_protocol

    rows = [
        f"  - {{name: p{number:02d}, role: {'other' if number else 'baseline'}, "
        f"duration_s: {phase_s:g}}}"
        for number in range(phases)
    ]
    text = "\n".join(["name: equal", "title: Equal phases", "phases:", *rows])
    return parse_protocol(text + "\nbaseline: {phase: p00}\n")


def run(options: Options) -> PartResult:
    """Time both on one simulated session."""
    from physio_hqc import process_session
    from physio_hqc.simulate import simulate_session

    phases, repeats = (2, 1) if options.quick else (12, 3)
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_session(
            Path(folder) / "session.h5",
            seed=81,
            protocol=protocol(phases),
            condition="alone",
            streams=("ecg", "bp", "eda"),
            ecg_sfreq=ECG_SFREQ,
            bp_sfreq=BP_SFREQ,
            eda_sfreq=EDA_SFREQ,
        )
        signals = _signals(made.path)
        windows = PHASE_S * np.column_stack([np.arange(phases), np.arange(1, phases + 1)])
        peers = _peers(signals, windows)
        calls = {OURS: partial(process_session, made.path), **peers}
        took = interleaved(calls, repeats)
        result = process_session(made.path)
    return PartResult(
        "session",
        f"Whole session: {phases * PHASE_S / 60:g} min of ECG {ECG_SFREQ:g} Hz, pressure "
        f"{BP_SFREQ:g} Hz, EDA {EDA_SFREQ:g} Hz, {phases} windows",
        [_table(took)],
        [
            (
                f"Ours goes from the session file to tables, without report: "
                f"{len(result.tables['features']):,} values in {len(result.windows)} windows, with "
                "blood pressure, baroreflex sensitivity, quality and reactivity, none of which "
                "NeuroKit2 has."
            ),
            (
                "NeuroKit2 starts from arrays in memory. ecg_process also delineates P, Q, S and "
                "T, which ours does not: 'lean' takes only its cleaning, peaks and Kubios "
                "correction."
            ),
            "Its hrv_nonlinear computes more indices than ours: 'lean' leaves it out altogether.",
        ],
    )


def _signals(path: Path) -> dict[str, FloatArray]:
    from physio_hqc import open_session

    with open_session(path) as session:
        return {
            stream.modality: np.ascontiguousarray(stream.samples)
            for stream in session.streams.values()
        }


def _peers(signals: dict[str, FloatArray], windows: FloatArray) -> dict[str, Callable[[], Any]]:
    """Return the steps of NeuroKit2."""
    import neurokit2

    clean = neurokit2.ecg_clean(signals["ecg"], sampling_rate=int(ECG_SFREQ))
    _, info = neurokit2.ecg_peaks(clean, sampling_rate=int(ECG_SFREQ))
    peaks = np.asarray(info["ECG_R_Peaks"])
    edges = np.searchsorted(peaks, ECG_SFREQ * windows)
    parts = [peaks[first:stop] for first, stop in edges.tolist()]

    def each(compute: Callable[..., Any]) -> None:
        for part in parts:
            compute(part, sampling_rate=int(ECG_SFREQ))

    def lean() -> None:
        cleaned = neurokit2.ecg_clean(signals["ecg"], sampling_rate=int(ECG_SFREQ))
        neurokit2.ecg_peaks(cleaned, sampling_rate=int(ECG_SFREQ), correct_artifacts=True)

    return {
        "ecg_process": partial(neurokit2.ecg_process, signals["ecg"], sampling_rate=int(ECG_SFREQ)),
        "ecg_clean + ecg_peaks, corrected": lean,
        "eda_process": partial(neurokit2.eda_process, signals["eda"], sampling_rate=int(EDA_SFREQ)),
        "hrv_time": partial(each, neurokit2.hrv_time),
        "hrv_frequency": partial(each, neurokit2.hrv_frequency),
        "hrv_nonlinear": partial(each, neurokit2.hrv_nonlinear),
        "ppg_findpeaks on pressure (pulses only)": partial(
            neurokit2.ppg_findpeaks, signals["bp"], sampling_rate=int(BP_SFREQ)
        ),
    }


def _table(took: dict[str, float]) -> Table:
    light = took["eda_process"] + took["hrv_time"] + took["hrv_frequency"]
    whole = took["ecg_process"] + light + took["hrv_nonlinear"]
    lean = took["ecg_clean + ecg_peaks, corrected"] + light
    ours = took[OURS]
    rows: list[tuple] = [(f"{OURS} process_session", ours, 1.0)]
    rows += [(f"NeuroKit2 {n}", s, ratio(s, ours)) for n, s in took.items() if n != OURS]
    rows += [
        ("NeuroKit2 in all (ecg_process, eda_process, hrv)", whole, ratio(whole, ours)),
        ("NeuroKit2 lean (peaks, eda_process, hrv time and frequency)", lean, ratio(lean, ours)),
    ]
    columns = ("step", "seconds", "times ours")
    return Table("Seconds", columns, rows, {"seconds": 2, "times ours": 1})
