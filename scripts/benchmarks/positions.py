"""Part `positions`: what the position of R peaks between samples is worth to RMSSD."""

from __future__ import annotations

import numpy as np

from benchmarks.common import OURS, Options, PartResult, Table, match, truth_at_rest
from benchmarks.detectors import PAN_TOMPKINS, detectors, peaks_of

RATES = (130.0, 250.0, 500.0, 1000.0)
RMSSD_MS = (10.0, 20.0, 30.0, 40.0)
LIMIT_MS = 0.5
_NEAR_S = 0.1


def run(options: Options) -> PartResult:
    """Compare RMSSD from detected peaks with what was simulated."""
    from physio_hqc.simulate import Noise, render_ecg

    seeds, minutes = (1, 2.0) if options.quick else (4, 5.0)
    levels = (RMSSD_MS[0], RMSSD_MS[-1]) if options.quick else RMSSD_MS
    chosen, notes = detectors(skip=(PAN_TOMPKINS,))
    errors: dict[tuple[str, float, str], list[float]] = {}
    examples: dict[tuple[str, float], float] = {}
    for rmssd in levels:
        for seed in range(200, 200 + seeds):
            truth = truth_at_rest(seed, minutes, rmssd=rmssd, hr=65.0)
            for sfreq in RATES:
                for label, noise in (("clean", None), ("usual noise", Noise())):
                    ecg = render_ecg(truth, sfreq, noise)
                    for name, detect in chosen.items():
                        peaks = peaks_of(detect, ecg, sfreq)
                        found = np.empty(0) if peaks is None else peaks / sfreq
                        measured, true = _rmssd_pair(truth.beat_times_s, found)
                        errors.setdefault((name, sfreq, label), []).append(measured - true)
                        if sfreq == RATES[0] and rmssd == RMSSD_MS[0] and label == "clean":
                            examples.setdefault((name, sfreq), measured)
    tables = [_table(errors, list(chosen), label) for label in ("clean", "usual noise")]
    read = ", ".join(f"{name} {value:.1f}" for (name, _), value in examples.items())
    return PartResult(
        "positions",
        f"RMSSD from R peaks: largest error, ms, over true RMSSD of "
        f"{', '.join(f'{value:g}' for value in levels)} ms and {seeds} simulated participants "
        f"of {minutes:g} min",
        tables,
        [
            f"A true RMSSD of 10 ms reads at 130 Hz, clean: {read} ms.",
            (
                "Only intervals between beats that a detector found within 100 ms count, so that "
                "the error is one of position."
            ),
            f"Ours stays within {LIMIT_MS:g} ms: {_within(errors)}.",
            *notes,
        ],
    )


def _rmssd_pair(true: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Return RMSSD as found and as it is, ms, over the same beats."""
    i, j = match(true, found, _NEAR_S)
    chain = (np.diff(i)[1:] == 1) & (np.diff(i)[:-1] == 1)
    if not chain.any():
        return float("nan"), float("nan")
    pair = (np.diff(times, n=2)[chain] for times in (found[j], true[i]))
    measured, expected = (1000.0 * float(np.sqrt(np.mean(step**2))) for step in pair)
    return measured, expected


def _largest(errors: list[float]) -> float:
    """Return the error that is largest in size, with its sign; NaN if one was not measured."""
    return max(errors, key=lambda value: np.inf if np.isnan(value) else abs(value))


def _table(errors: dict, names: list[str], label: str) -> Table:
    rows = [(name, *(_largest(errors[name, sfreq, label]) for sfreq in RATES)) for name in names]
    columns = ("detector", *(f"{sfreq:g} Hz" for sfreq in RATES))
    return Table(label.capitalize(), columns, rows, dict.fromkeys(columns[1:], 2))


def _within(errors: dict) -> str:
    """Say whether every error of ours keeps the limit."""
    ours = [value for (name, *_), found in errors.items() if name == OURS for value in found]
    worst = _largest(ours)
    return f"{'yes' if abs(worst) <= LIMIT_MS else 'no'} (largest {worst:+.2f} ms)"
