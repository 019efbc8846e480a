"""Part `pressure`: continuous blood pressure and baroreflex sensitivity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.common import (
    OURS,
    Options,
    PartResult,
    Table,
    interleaved,
    match,
    missing_peers,
    quiet,
    ratio,
    truth_at_rest,
)

FloatArray = NDArray[np.float64]

PEER = "BioSPPy abp"
RATES = (60.0, 125.0, 250.0, 1000.0)
GAINS = (6.0, 12.0, 20.0)
# Where the recordings can be used, s, as their README says, and a record without a patient.
USABLE = {"3975656_0013": (24.0, 134.0), "mixedsignals": (5.0, 230.0)}
EMPTY = "3234460_0018"
# A monitor's reading stamped t is the mean from t + 40 s to t + 100 s.
_SHIFT_S = 40.0
_PULSE_S = (0.05, 0.6)
_NEAR_S = 0.1


def run(options: Options) -> PartResult:
    """Compare pressures with monitors and simulated truth, and gains with planted ones."""
    notes = [
        (
            "NeuroKit2 has no blood pressure; BioSPPy finds onsets of pulses and no pressures. "
            "Baroreflex sensitivity is in neither."
        ),
    ]
    notes.append(
        "Feet lie late by their definition: the tangent of the steepest rise meets the diastolic "
        "level after the simulated rise has begun."
    )
    onsets = _their_onsets
    if missing_peers(["biosppy", "peakutils"]):
        onsets = None
        notes.append("BioSPPy is not installed.")
    tables = [_simulated(options, onsets), _gains(options)]
    if (options.data / "abp").is_dir():
        tables += [_recorded(options.data / "abp", onsets), _monitor(options.data / "abp")]
        notes.append(
            "R peaks of the recordings are those of detect_r_peaks. An early beat that ejects next "
            "to nothing has no pulse, or one that is no valid pressure."
        )
    else:
        notes.append("The recordings are not there: only simulated signals were used.")
    return PartResult("pressure", "Blood pressure and baroreflex sensitivity", tables, notes)


def _their_onsets(pressure: FloatArray, sfreq: float) -> FloatArray:
    from biosppy.signals import abp

    with quiet():
        return np.asarray(abp.abp(pressure, sfreq, show=False)["onsets"], dtype=float) / sfreq


def _ours(pressure: FloatArray, sfreq: float) -> pd.DataFrame:
    from physio_hqc.signals import detect_pressure_beats

    beats = detect_pressure_beats(pressure, sfreq)
    return beats[beats["valid"].to_numpy(dtype=bool)]


def _simulated(options: Options, onsets: Callable | None) -> Table:
    """Score beats, pressures and speed at several rates."""
    from physio_hqc.simulate import Noise, render_pressure

    minutes, repeats = (5.0, 2) if options.quick else (20.0, 5)
    truth = truth_at_rest(51, minutes)
    rows = []
    for sfreq in RATES:
        signal = render_pressure(truth, sfreq, Noise())
        calls: dict[str, Callable[[], Any]] = {OURS: partial(_ours, signal, sfreq)}
        if onsets is not None:
            calls[PEER] = partial(onsets, signal, sfreq)
        took = interleaved(calls, repeats)
        beats = _ours(signal, sfreq)
        i, j = match(truth.foot_s, beats["foot_s"].to_numpy(), _NEAR_S)
        errors = [
            float(np.nanmean(np.abs(beats[name].to_numpy()[j] - true[i])))
            for name, true in (("SBP", truth.sbp), ("DBP", truth.dbp), ("MAP", truth.map))
        ]
        foot = 1000.0 * float(np.mean(np.abs(beats["foot_s"].to_numpy()[j] - truth.foot_s[i])))
        speed = [ratio(signal.size / 1e6, took.get(name, float("nan"))) for name in (OURS, PEER)]
        rows.append(
            (
                f"{sfreq:g} Hz",
                100.0 * i.size / truth.foot_s.size,
                len(beats) - j.size,
                *errors,
                foot,
                _found_by_onsets(onsets, signal, sfreq, truth.foot_s),
                *speed,
                ratio(*speed),
            )
        )
    columns = (
        "rate", "found %", "false", "SBP mmHg", "DBP mmHg", "MAP mmHg", "foot ms",
        f"{PEER} found %", "ours Msamples/s", f"{PEER} Msamples/s", "times as fast",
    )  # fmt: skip
    digits = dict.fromkeys(columns[3:7], 2) | dict.fromkeys((columns[1], columns[7]), 1)
    title = f"Simulated pressure, {minutes:g} min, usual noise: mean absolute errors"
    return Table(title, columns, rows, digits | dict.fromkeys(columns[8:], 2))


def _found_by_onsets(
    onsets: Callable | None, signal: FloatArray, sfreq: float, foot_s: FloatArray
) -> float:
    """Return the share of feet with an onset within 0.1 s, percent."""
    if onsets is None:
        return float("nan")
    i, _ = match(foot_s, np.sort(onsets(signal, sfreq)), _NEAR_S)
    return 100.0 * i.size / foot_s.size


def _gains(options: Options) -> Table:
    """Compare every estimate of baroreflex gain with the gain that was simulated."""
    from physio_hqc.features import FEATURES, baroreflex
    from physio_hqc.signals import correct_beats, detect_r_peaks
    from physio_hqc.simulate import Noise, render_ecg, render_pressure

    seeds = 1 if options.quick else 4
    ratios: dict[str, list[float]] = {}
    for gain in GAINS:
        for seed in range(60, 60 + seeds):
            truth = truth_at_rest(seed, 10.0, brs=gain)
            beats = correct_beats(detect_r_peaks(render_ecg(truth, 250.0, Noise()), 250.0) / 250.0)
            with quiet():
                table = baroreflex(beats, _ours(render_pressure(truth, 200.0, Noise()), 200.0))
            for name in table:
                if FEATURES[name].unit == "ms/mmHg":
                    ratios.setdefault(name, []).append(float(table[name].iloc[0]) / gain)
    rows = []
    for name, found in ratios.items():
        known = np.array(found)[np.isfinite(found)]
        worst = float(np.max(np.abs(known - 1))) if known.size else float("nan")
        middle = float(np.median(known) - 1) if known.size else float("nan")
        rows.append((name, len(found), known.size, 100 * middle, 100 * worst, bool(worst <= 0.10)))
    columns = ("estimate", "sessions", "with a value", "median error %", "largest error %",
               "within 10 %")  # fmt: skip
    given = ", ".join(f"{gain:g}" for gain in GAINS)
    title = f"Baroreflex gain of {given} ms/mmHg, simulated rest of 10 min, usual noise"
    return Table(title, columns, rows, dict.fromkeys(columns[3:5], 1))


def _read(path: Path) -> dict[str, tuple[FloatArray, float]]:
    """Return the channels of a record, each at its own rate."""
    import wfdb

    record = wfdb.rdrecord(str(path), smooth_frames=False)
    return {
        name: (np.asarray(samples, dtype=np.float64), float(record.fs * per_frame))
        for name, samples, per_frame in zip(
            record.sig_name, record.e_p_signal, record.samps_per_frame, strict=True
        )
    }


def _recorded(folder: Path, onsets: Callable | None) -> Table:
    """Count R peaks that have their pressure beat, and beats where there is no patient."""
    from physio_hqc.signals import detect_pressure_beats, detect_r_peaks

    rows = []
    for name, (start, stop) in USABLE.items():
        channels = _read(folder / name)
        ecg, ecg_sfreq = channels["II"]
        peaks = detect_r_peaks(ecg, ecg_sfreq) / ecg_sfreq
        peaks = peaks[(peaks >= start) & (peaks < stop - _PULSE_S[1])]
        pressure, sfreq = channels["ABP"]
        feet = (detect_pressure_beats(pressure, sfreq), _ours(pressure, sfreq))
        ours = [_followed(peaks, beats["foot_s"].to_numpy()) for beats in feet]
        theirs = _onsets_of(onsets, pressure, sfreq)
        rows.append((name, peaks.size, *ours, _followed(peaks, theirs), None, None))
    pressure, sfreq = _read(folder / EMPTY)["ABP"]
    theirs = _onsets_of(onsets, pressure, sfreq)
    rows.append((f"{EMPTY} (no patient)", None, None, None, None, len(_ours(pressure, sfreq)),
                 None if theirs is None else theirs.size))  # fmt: skip
    columns = ("record", "R peaks", "ours, any beat %", "ours, valid beat %", f"{PEER} %",
               "ours false", f"{PEER} false")  # fmt: skip
    title = "Recordings: R peaks in usable stretches that a pressure beat follows"
    return Table(title, columns, rows, dict.fromkeys(columns[2:5], 1))


def _onsets_of(onsets: Callable | None, pressure: FloatArray, sfreq: float) -> FloatArray | None:
    """Return the peer's onsets; it does not take missing samples, so they are held."""
    if onsets is None:
        return None
    held = pd.Series(pressure).ffill().bfill().to_numpy()
    return np.sort(onsets(held, sfreq))


def _followed(peaks_s: FloatArray, feet_s: FloatArray | None) -> float:
    """Return the share of R peaks with a foot 0.05 to 0.6 s later, percent."""
    if feet_s is None or not peaks_s.size:
        return float("nan")
    first, last = np.searchsorted(feet_s, [peaks_s + _PULSE_S[0], peaks_s + _PULSE_S[1]])
    return 100.0 * float(np.mean(last > first))


def _monitor(folder: Path) -> Table:
    """Compare with the usable readings of the bedside monitor."""
    rows = []
    for path in sorted(folder.glob("*_numerics.csv")):
        name = path.name.removesuffix("_numerics.csv")
        readings = pd.read_csv(path)
        pressure, sfreq = _read(folder / name)["ABP"]
        beats = _ours(pressure, sfreq)
        for reading in readings[readings["usable"] == 1].itertuples():
            start = reading.time_s + _SHIFT_S
            inside = beats[(beats["foot_s"] >= start) & (beats["foot_s"] < start + 60.0)]
            ours = [float(inside[key].mean()) for key in ("SBP", "DBP", "MAP")]
            theirs = [float(getattr(reading, key)) for key in ("SBP", "DBP", "MAP")]
            apart = [a - b for a, b in zip(ours, theirs, strict=True)]
            rows.append((name, start, len(inside), *ours, *apart,
                         bool(max(map(abs, apart)) <= 2.0)))  # fmt: skip
    columns = ("record", "from s", "beats", "SBP", "DBP", "MAP", "SBP minus monitor",
               "DBP minus monitor", "MAP minus monitor", "within 2 mmHg")  # fmt: skip
    title = "Usable minutes beside the monitor, mmHg"
    return Table(title, columns, rows, dict.fromkeys(columns[1:2] + columns[3:9], 1))
