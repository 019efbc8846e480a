"""The script that makes the sample recordings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from physio_hqc import open_session
from physio_hqc.simulate import load_truth

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_sample_recordings.py"


def test_three_small_sessions_with_their_truth(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3e6
    for condition in ("alone", "support", "nonsupport"):
        with open_session(tmp_path / f"{condition}.h5") as session:
            assert session.condition == load_truth(session.path).condition == condition
            assert sorted(session.streams) == ["bp", "cuff", "ecg", "eda"]
            assert 600 <= session.duration <= 800
