"""Skin conductance responses to tagged events."""

import numpy as np
import pytest

from physio_hqc.pipeline import PipelineConfig, process_session
from physio_hqc.session import SessionWriter
from physio_hqc.simulate.waveforms import scr_waveform

ONSETS = np.array([22.0, 62.5, 103.0])


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Three responses 2, 2.5 and 3 s after a marker, and a marker without any."""
    path = tmp_path_factory.mktemp("responses") / "p.h5"
    times = np.arange(0, 180, 1 / 32)
    with SessionWriter(path) as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=32.0)
        eda = 5 + scr_waveform(times, ONSETS, np.array([0.3, 0.5, 0.4]))
        writer.append_segment("eda", eda, t_start=0.0)
        for onset in (20.0, 60.0, 100.0, 140.0):
            writer.add_event(onset, "marker", f"tone {onset:g}")
        writer.add_event(178.0, "marker", "late")
        writer.add_event(99.0, "rating", "stress")
    return path


def test_latency_to_every_marker(session, tmp_path):
    table = process_session(session, out_dir=tmp_path).tables["scr_latency"]
    assert table["label"].tolist() == ["tone 20", "tone 60", "tone 100", "tone 140", "late"]
    assert table["kind"].unique().tolist() == ["marker"]
    found = table["latency_s"].to_numpy()
    np.testing.assert_allclose(found[:3], [2.0, 2.5, 3.0], atol=0.35)
    np.testing.assert_allclose(table["amplitude"][:3], [0.3, 0.5, 0.4], rtol=0.1)
    assert np.isnan(found[3:]).all()
    assert table["reason"].tolist()[:3] == ["", "", ""]
    assert "no SCR" in table["reason"][3]
    assert "not recorded" in table["reason"][4]
    assert (tmp_path / "p" / "scr_latency.json").is_file()


def test_latency_window_and_kinds_of_events_are_settings(session):
    settings = {"eda": {"scr_latency_s": [1.0, 2.2], "latency_of": ["marker", "rating"]}}
    result = process_session(session, PipelineConfig.model_validate(settings))
    table = result.tables["scr_latency"]
    assert table["label"].tolist()[2] == "stress"
    assert table["latency_s"].notna().sum() == 1


def test_without_skin_conductance_there_are_no_rows(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("cuff", modality="cuff", units="mmHg", sfreq=0, channels=["SBP"])
        writer.append_irregular("cuff", [10.0], [120.0])
        writer.add_event(5.0, "marker", "tone")
    assert process_session(tmp_path / "p.h5").tables["scr_latency"].empty
