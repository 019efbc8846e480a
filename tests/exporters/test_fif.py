"""FIF, read by MNE."""

from __future__ import annotations

import uuid

import mne
import numpy as np
import pytest

from physio_hqc import open_session
from physio_hqc.exporters import export_session, fif
from physio_hqc.session import SessionWriter


@pytest.fixture(scope="module")
def exported(live, tmp_path_factory):
    return export_session(live.path, tmp_path_factory.mktemp("fif") / "p07.fif", to="fif")


def test_it_is_named_as_mne_wants_and_is_to_mne_raw(live, exported):
    assert exported.paths[0].name == "p07_raw.fif"
    raw = mne.io.read_raw_fif(exported.paths[0], verbose="warning")
    with open_session(live.path) as session:
        ours = session.to_mne_raw()
    assert raw.ch_names == ours.ch_names
    np.testing.assert_allclose(raw.get_data(), ours.get_data(), rtol=1e-12, atol=1e-15)
    assert raw.info["meas_date"] == ours.info["meas_date"]
    assert raw.info["subject_info"]["his_id"] == "P 07 é"
    assert list(raw.annotations.description) == list(ours.annotations.description)
    np.testing.assert_allclose(raw.annotations.onset, ours.annotations.onset, atol=1e-6)
    assert any(text.startswith("rr, cuff") or "left out" in text for text in exported.notices)


def test_nothing_tells_of_this_computer_and_bytes_are_the_same(live, exported, tmp_path):
    again = export_session(live.path, tmp_path / "p07_raw.fif", to="fif").paths[0]
    content = again.read_bytes()
    assert content == exported.paths[0].read_bytes()
    assert uuid.getnode().to_bytes(6, "big") not in content
    assert str(tmp_path).encode() not in content
    info = mne.io.read_info(again, verbose="error")
    assert info["file_id"]["secs"] == 0
    assert not np.any(info["file_id"]["machid"])


def test_parts_of_a_long_recording_belong_together(live, tmp_path, monkeypatch):
    monkeypatch.setattr(fif, "_SPLIT", "4MB")
    report = export_session(live.path, tmp_path / "p07_raw.fif", to="fif")
    assert [path.name for path in report.paths][:2] == ["p07_raw.fif", "p07_raw-1.fif"]
    raw = mne.io.read_raw_fif(report.paths[0], verbose="error")
    assert len(raw.filenames) == len(report.paths) > 1
    monkeypatch.undo()
    export_session(live.path, tmp_path / "p07_raw.fif", to="fif", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p07_raw.fif"], "no old part is left"


@pytest.mark.parametrize("t0", [2**63 - 1, -(2**62), 2**31 * 10**9])
def test_a_date_that_fif_cannot_hold_is_left_out_and_told(tmp_path, t0):
    with SessionWriter(tmp_path / "p01.h5", t0_unix_ns=t0) as writer:
        writer.add_stream("eda", modality="eda", units="uS", sfreq=4)
        writer.append_segment("eda", np.linspace(5.0, 6.0, 100), t_start=0.0)
    exported = export_session(tmp_path / "p01.h5", tmp_path / "p01_raw.fif", to="fif")
    assert mne.io.read_info(exported.paths[0], verbose="error")["meas_date"] is None
    assert any("1901 to 2038" in text for text in exported.notices)
