"""Make sample_recordings/: three short simulated sessions, one per condition.

    python scripts/make_sample_recordings.py [--out FOLDER]

Running it again makes the same samples and the same truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from physio_hqc.simulate import Noise, simulate_session

REPOSITORY = Path(__file__).resolve().parents[1]

# (condition, participant, seed)
SESSIONS = (("alone", "S01", 101), ("support", "S02", 102), ("nonsupport", "S03", 103))

# A good recording with a few honest faults: a movement now and then, one or two lost packets.
NOISE = Noise(motion_per_min=0.3, electrode_pops_per_min=0.2, dropouts_per_min=0.2, dropout_s=3.0)


def main() -> None:
    """Write the sessions and say how large they are."""
    parser = argparse.ArgumentParser(description="Make sample_recordings/.")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "sample_recordings")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for condition, participant_id, seed in SESSIONS:
        made = simulate_session(
            folder / f"{condition}.h5",
            seed=seed,
            condition=condition,
            participant_id=participant_id,
            time_scale=0.4,
            ecg_sfreq=250.0,
            bp_sfreq=100.0,
            eda_sfreq=16.0,
            noise=NOISE,
            overwrite=True,
        )
        size = made.path.stat().st_size + made.truth_path.stat().st_size
        total += size
        speech, rest = made.truth.phase("speech"), made.truth.phase("baseline")
        print(
            f"{made.path.name:14} {made.truth.duration_s:5.0f} s {size / 1e6:5.2f} MB  "
            f"SBP {rest.sbp:.0f} -> {speech.sbp:.0f} mmHg, HR {rest.hr:.0f} -> {speech.hr:.0f}"
        )
    print(f"{total / 1e6:.2f} MB in {folder}")


if __name__ == "__main__":
    main()
