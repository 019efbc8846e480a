"""Part `rpeaks`: R peaks of the MIT-BIH records, all detectors on the same arrays."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import (
    OURS,
    TOLERANCE_S,
    NotRunError,
    Options,
    PartResult,
    Table,
    folder_of,
    ratio,
    shared_scorer,
)
from benchmarks.detectors import HAMILTON, SLEEPECG, XQRS, Detector, detectors, peaks_of

# xqrs needs seconds a record, so a quick run takes only these: an easy one, and two that are not.
QUICK_RECORDS = ("101", "108", "208")
SLOW = (XQRS, HAMILTON)
WARM_UP_S = 30


def run(options: Options) -> PartResult:
    """Score and time every detector on the first channel of every record."""
    folder = folder_of(options, "mitbih")
    scorer = shared_scorer(options.data)
    names = sorted(path.stem for path in folder.glob("*.atr"))
    if options.quick:
        names = [name for name in names if name in QUICK_RECORDS]
    if not names:
        raise NotRunError(f"there are no records in {folder}")
    chosen, notes = detectors()
    records = {name: _read(scorer, folder / name) for name in names}
    peaks, speed = _detect(chosen, records, repeats=3 if options.quick else 5)
    scores = {
        detector: {name: _score(scorer, records[name], found[name]) for name in names}
        for detector, found in peaks.items()
    }
    return PartResult(
        "rpeaks",
        f"R peaks: MIT-BIH Arrhythmia Database, {len(names)} records, first channel",
        [_total(scorer, scores, speed), _per_record(scores, names)],
        [
            (
                "Scored by the rules of score_beats.py: every beat from the first sample on, one "
                "to one within 150 ms, ventricular flutter left out as in EC57."
            ),
            (
                "Offset: mean distance of matched beats from their annotation. Speed: median of "
                "repeats in turns after a warm-up, arrays in memory, one thread; xqrs and Hamilton "
                "once."
            ),
            "These records were at hand while ours was developed; expect less on others.",
            *([f"Quick: only the records {', '.join(names)}."] if options.quick else []),
            *notes,
        ],
    )


def _read(scorer: Any, path: Path) -> dict[str, Any]:
    import wfdb

    beats, sfreq, _, episodes = scorer.read_reference(path)
    ecg = np.ascontiguousarray(wfdb.rdrecord(str(path), channels=[0]).p_signal[:, 0])
    return {"ecg": ecg, "sfreq": sfreq, "beats": beats, "episodes": episodes}


def _detect(
    chosen: dict[str, Detector], records: dict[str, dict[str, Any]], repeats: int
) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Return the peaks in every record, and millions of samples per second of each detector."""
    first = next(iter(records.values()))
    for detect in chosen.values():
        peaks_of(detect, first["ecg"][: int(WARM_UP_S * first["sfreq"])], first["sfreq"])
    peaks: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    spent = dict.fromkeys(chosen, 0.0)
    for key, record in records.items():
        times: dict[str, list[float]] = {name: [] for name in chosen}
        for turn in range(repeats):
            for name, detect in chosen.items():
                if turn and name in SLOW:
                    continue
                start = time.perf_counter()
                peaks[name][key] = peaks_of(detect, record["ecg"], record["sfreq"])
                times[name].append(time.perf_counter() - start)
        for name, taken in times.items():
            spent[name] += statistics.median(taken)
    samples = sum(record["ecg"].size for record in records.values())
    return peaks, {name: ratio(samples / 1e6, seconds) for name, seconds in spent.items()}


def _score(scorer: Any, record: dict[str, Any], peaks: Any) -> dict[str, float]:
    """Score as the command line of the scorer does, which reads whole samples."""
    sfreq, episodes = record["sfreq"], record["episodes"]
    found = np.empty(0) if peaks is None else np.rint(peaks)
    scored: dict[str, float] = scorer.score(
        scorer.outside_episodes(record["beats"], episodes),
        scorer.outside_episodes(found, episodes, TOLERANCE_S * sfreq),
        sfreq,
        TOLERANCE_S,
    )
    return scored


def _total(scorer: Any, scores: dict, speed: dict[str, float]) -> Table:
    rows = []
    for name, found in scores.items():
        total = scorer.total(found.values())
        rows.append(
            (
                name,
                100 * total["f1"],
                100 * total["se"],
                100 * total["ppv"],
                total["fn"],
                total["fp"],
                total["mae_ms"],
                speed[name],
                ratio(speed[name], speed.get(SLEEPECG, float("nan"))),
            )
        )
    columns = (
        "detector", "F1 %", "Se %", "PPV %", "missed", "false", "offset ms", "Msamples/s",
        "speed / SleepECG",
    )  # fmt: skip
    digits = dict.fromkeys(columns[1:4], 2) | {"offset ms": 2, "Msamples/s": 2}
    return Table("All records", columns, rows, digits | {"speed / SleepECG": 2})


def _per_record(scores: dict, names: list[str]) -> Table:
    rows = []
    for record in names:
        values = [100 * scores[detector][record]["f1"] for detector in scores]
        ours = scores[OURS][record]
        rows.append((record, *values, ours["fn"], ours["fp"], ours["mae_ms"]))
    columns = ("record", *scores, "ours missed", "ours false", "ours offset ms")
    digits = dict.fromkeys(scores, 2) | {"ours offset ms": 2}
    return Table("F1 of each record, %", columns, rows, digits)
