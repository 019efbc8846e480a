"""Part `noise`: how much noise the detectors of R peaks bear."""

from __future__ import annotations

import numpy as np

from benchmarks.common import OURS, Options, PartResult, Table, f1, f1_counts, truth_at_rest
from benchmarks.detectors import detectors, peaks_of
from benchmarks.ecg_noise import KINDS, SNRS_DB, disturbed

SFREQ = 250.0
FIRST_SEED = 100


def run(options: Options) -> PartResult:
    """Disturb simulated ECG and score all detectors on the same signals."""
    from physio_hqc.simulate import render_ecg

    seeds, minutes = (2, 2.0) if options.quick else (8, 5.0)
    chosen, notes = detectors()
    counts = {(kind, snr): {d: np.zeros(3) for d in chosen} for kind in KINDS for snr in SNRS_DB}
    failed = dict.fromkeys(chosen, 0)
    chance = np.zeros(3)
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        truth = truth_at_rest(seed, minutes)
        clean = render_ecg(truth, SFREQ)
        anywhere = np.random.default_rng(seed).uniform(0, 60 * minutes, truth.beat_times_s.size)
        chance += f1_counts(truth.beat_times_s, anywhere)
        for (kind, snr), cell in counts.items():
            ecg = disturbed(clean, truth.beat_times_s, SFREQ, kind, snr, seed)
            for name, detect in chosen.items():
                peaks = peaks_of(detect, ecg, SFREQ)
                failed[name] += peaks is None
                found = np.empty(0) if peaks is None else peaks / SFREQ
                cell[name] += f1_counts(truth.beat_times_s, found)
    scores = {key: {name: f1(c) for name, c in cell.items()} for key, cell in counts.items()}
    notes += [f"{n} gave up with an error on {k} signals." for n, k in failed.items() if k]
    figure = _figure(scores, list(chosen), options)
    return PartResult(
        "noise",
        f"R peaks in noise: F1, %, over {seeds} simulated participants of {minutes:g} min at "
        f"{SFREQ:g} Hz, tolerance 150 ms",
        [_summary(scores, list(chosen)), _full(scores, list(chosen))],
        [
            (
                "The signal-to-noise ratio is that of the noise stress test (Moody, Muldrow & "
                f"Mark, 1984). As many beats at random times reach {f1(chance):.0f}."
            ),
            *notes,
        ],
        [figure],
    )


def _full(scores: dict, names: list[str]) -> Table:
    columns = ("noise", "SNR dB", *names, "ours minus best peer")
    rows = []
    for (kind, snr), cell in scores.items():
        peers = [cell[name] for name in names if name != OURS]
        rows.append((kind, snr, *(cell[name] for name in names), cell[OURS] - max(peers)))
    return Table("Each kind and level", columns, rows, dict.fromkeys(columns[2:], 2))


def _summary(scores: dict, names: list[str]) -> Table:
    """Average over the levels: one number per kind, and over all kinds."""
    rows = []
    for name in names:
        means = [np.mean([scores[kind, snr][name] for snr in SNRS_DB]) for kind in KINDS]
        rows.append((name, *map(float, means), float(np.mean(means))))
    columns = ("detector", *KINDS, "all")
    return Table("Mean over 24 to 0 dB", columns, rows, dict.fromkeys(columns[1:], 2))


def _figure(scores: dict, names: list[str], options: Options) -> str:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(KINDS), figsize=(15, 3.6), sharey=True)
    for axis, kind in zip(axes, KINDS, strict=True):
        for name in names:
            ours = name == OURS
            axis.plot(
                SNRS_DB,
                [scores[kind, snr][name] for snr in SNRS_DB],
                label=name,
                linewidth=2.5 if ours else 1.2,
                color="black" if ours else None,
                marker="o" if ours else ".",
                zorder=3 if ours else 2,
            )
        axis.set(title=kind, xlabel="SNR, dB", xticks=SNRS_DB)
        axis.invert_xaxis()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("F1, %")
    axes[2].legend(fontsize=8, loc="center")
    figure.tight_layout()
    figure.savefig(options.out / "noise_curve.png", dpi=120)
    plt.close(figure)
    return "noise_curve.png"
