"""Quality from a few minutes of a recording against what was put into it."""

from pathlib import Path

import numpy as np

from physio_hqc import open_session
from physio_hqc.pipeline.glance import quality_at_a_glance
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import Noise, render_ecg, simulate_session, simulate_truth


def test_a_clean_session_is_good_and_only_minutes_of_it_are_read(tmp_path: Path) -> None:
    simulate_session(tmp_path / "s.h5", seed=2, noise=Noise.none())
    with open_session(tmp_path / "s.h5") as session:
        found = quality_at_a_glance(session)
    assert set(found) == {"ecg", "bp", "eda"}
    for facts in found.values():
        assert facts["quality"] > 0.9
        assert 590 <= facts["seconds"] <= 610


def test_a_lead_that_is_off_half_of_the_time_is_seen(tmp_path: Path) -> None:
    ecg = render_ecg(simulate_truth(seed=3, time_scale=0.1), 250.0)
    ecg[len(ecg) // 2 :] = 0.0
    with SessionWriter(tmp_path / "s.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0)
        writer.add_stream("resp", modality="resp", units="", sfreq=10.0)
        writer.append_segment("ecg", ecg, 0.0)
        writer.append_segment("resp", np.zeros(100), 0.0)
    with open_session(tmp_path / "s.h5") as session:
        found = quality_at_a_glance(session)
    assert set(found) == {"ecg"}
    assert abs(found["ecg"]["usable_share"] - 0.5) < 0.1
    assert found["ecg"]["reason"]
