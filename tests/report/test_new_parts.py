"""What the report says of breathing, of artefact left out, and of speech at ordinary breathing."""

import html
import re

import numpy as np
import pytest

from physio_hqc.pipeline import process_session
from physio_hqc.report import write_session_report
from physio_hqc.session import open_session
from physio_hqc.simulate import Noise, simulate_session


def page(folder, **options):
    """Text of the report of a simulated session, and what it was processed to."""
    made = simulate_session(folder / "p01.h5", seed=3, time_scale=0.4, **options)
    result = process_session(made.path)
    with open_session(made.path) as session:
        write_session_report(session, result, folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    return html.unescape(re.sub(r"<[^>]+>", " ", text)), result


@pytest.fixture(scope="module")
def with_belt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("belt")
    noise = Noise(motion_per_min=3)
    return page(folder, streams=["ecg", "bp", "resp"], noise=noise)


def test_methods_tell_of_breaths_artefact_and_the_three_ways_to_the_baroreflex(with_belt):
    text, result = with_belt
    stages = result.provenance["stages"]
    assert f"Of {stages['resp']['n_breaths']} breaths in 'resp'" in text
    assert "Porges & Bohrer" in text
    assert "from peak to valley breath by breath" in text
    assert f"{stages['heart']['n_in_artifacts']} detections in" in text
    assert "xBRS" in text
    for source in ("10.1007/s10439-007-9428-1", "10.1109/JBHI.2014.2338351", "hjh.0000125439"):
        assert source in text


def test_breathing_has_its_place_among_the_features(with_belt):
    text, result = with_belt
    assert "RSP_Rate" in text
    assert re.search(r"\bRespiration\b", text)
    beats = result.tables["beats"]
    used = beats[beats["kind"] != "artifact"]
    assert len(used) < len(beats)
    assert f" {len(used)} " in text.replace(",", "")


def test_without_a_belt_the_estimate_is_called_one(tmp_path):
    text, result = page(tmp_path, streams=["ecg"])
    assert "Respiration was not recorded" in text
    assert "10.1088/0967-3334/37/4/610" in text
    assert "peak to valley" not in text
    share = result.tables["features"].query("feature == 'RSP_HF_Share'")["value"]
    assert np.isfinite(share).any()
