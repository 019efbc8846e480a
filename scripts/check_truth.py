"""Process simulated sessions and print how far the results lie from what is true of them.

    python scripts/check_truth.py [--sessions 16] [--first-seed 0]

One line a session: beats missed and added, and the largest error of any phase in RMSSD, SBP and
DBP, and SCRs found and true. Rates, conditions, lengths and noise vary with the seed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from physio_hqc import process_session
from physio_hqc.simulate import Noise, simulate_session

CONDITIONS = ("alone", "support", "nonsupport")
RATES = ((130.0, 60.0, 4.0), (250.0, 100.0, 16.0), (500.0, 200.0, 32.0), (1000.0, 500.0, 100.0))
NEAR_S = 0.05


def check(seed: int, folder: Path) -> tuple[int, int, float, float, float, int, int]:
    """Simulate and process one session; return its errors."""
    ecg_sfreq, bp_sfreq, eda_sfreq = RATES[seed % 4]
    made = simulate_session(
        folder / f"s{seed}.h5",
        seed=seed,
        condition=CONDITIONS[seed % 3],
        ecg_sfreq=ecg_sfreq,
        bp_sfreq=bp_sfreq,
        eda_sfreq=eda_sfreq,
        noise=Noise.none() if seed % 2 else None,
        time_scale=1.0 if seed % 2 else 0.4,
    )
    truth, tables = made.truth, process_session(made.path).tables
    distance = np.abs(tables["beats"]["time_s"].to_numpy()[:, None] - truth.beat_times_s)
    values = tables["features"].pivot_table(index="window", columns="feature", values="value")
    found = values.loc[[phase.name for phase in truth.phases]]
    return (
        int((distance.min(axis=0) > NEAR_S).sum()),
        int((distance.min(axis=1) > NEAR_S).sum()),
        _worst(found["HRV_RMSSD"] / [phase.rmssd for phase in truth.phases] - 1),
        _worst(found["BP_SBP_Mean"] - [phase.sbp for phase in truth.phases]),
        _worst(found["BP_DBP_Mean"] - [phase.dbp for phase in truth.phases]),
        len(tables["scr"]),
        len(truth.scr_onset_s),
    )


def _worst(errors: np.ndarray) -> float:
    return float(np.max(np.abs(errors)))


def main() -> None:
    """Check as many sessions as asked for."""
    parser = argparse.ArgumentParser(description="Compare results with simulated truth.")
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    print("seed  missed  added  RMSSD  SBP mmHg  DBP mmHg  SCRs found/true")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first_seed, options.first_seed + options.sessions):
            missed, added, rmssd, sbp, dbp, scr, true_scr = check(seed, Path(folder))
            print(
                f"{seed:4}  {missed:6}  {added:5}  {rmssd:5.1%}  {sbp:8.2f}  {dbp:8.2f}  "
                f"{scr:10}/{true_scr}"
            )


if __name__ == "__main__":
    main()
