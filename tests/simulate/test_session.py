"""Simulated session files hold what the truth says."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest

from physio_hqc import open_session
from physio_hqc.errors import ConfigError, OutputError, SignalError
from physio_hqc.protocol import derive_windows, load_protocol, parse_protocol
from physio_hqc.simulate import (
    Noise,
    SimulatedSession,
    load_truth,
    render_ecg,
    render_eda,
    render_pressure,
    simulate_session,
)

SHORT = 0.06


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> SimulatedSession:
    folder = tmp_path_factory.mktemp("clean")
    return simulate_session(
        folder / "p01.h5", seed=9, condition="support", time_scale=SHORT, noise=Noise.none()
    )


def test_streams_hold_the_rendered_signals(clean: SimulatedSession) -> None:
    with open_session(clean.path) as session:
        assert session.closed
        assert session.participant_id == "P01"
        for name, render, sfreq, unit, step in (
            ("ecg", render_ecg, 250.0, "mV", 0.0005),
            ("bp", render_pressure, 100.0, "mmHg", 0.01),
            ("eda", render_eda, 32.0, "µS", 1e-5),
        ):
            stream = session.streams[name]
            expected = render(clean.truth, sfreq)
            assert (stream.modality, stream.units, stream.sfreq) == (name, unit, sfreq)
            np.testing.assert_allclose(stream.samples, expected, atol=0.51 * step)
            np.testing.assert_allclose(stream.times, np.arange(len(expected)) / sfreq, atol=1e-6)


def test_cuff_readings_are_those_of_the_truth(clean: SimulatedSession) -> None:
    with open_session(clean.path) as session:
        cuff = session.streams["cuff"]
        assert list(cuff.channels) == ["SBP", "DBP", "MAP", "HR"]
        np.testing.assert_allclose(cuff.times, clean.truth.cuff_times_s)
        np.testing.assert_array_equal(cuff.samples, clean.truth.cuff)


def test_events_follow_the_protocol(clean: SimulatedSession) -> None:
    design = load_protocol("lepore_1993").scaled(SHORT)
    with open_session(clean.path) as session:
        assert parse_protocol(session.protocol) == design
        phases = session.windows(kind="phase")
        assert phases["label"].tolist() == [phase.name for phase in design.phases]
        np.testing.assert_allclose(
            phases["duration"], [phase.duration_s for phase in design.phases]
        )
        contact = session.events.query("kind == 'interaction'")
        assert contact["label"].tolist() == ["with_confederate"] * 2
        assert contact["payload"].iloc[0] == {"condition": "support", "partner": "confederate"}
        ratings = session.events.query("kind == 'rating'")
        assert ratings["label"].tolist() == ["stress", "felt_support"]
        assert all(1 <= payload["value"] <= 7 for payload in ratings["payload"])
        windows = derive_windows(session.events, design)
        tagged = windows[windows["kind"] == "interaction"]
        assert tagged["phase"].tolist() == ["preparation", "speech"]


def test_nobody_is_beside_those_who_are_alone(tmp_path: Path) -> None:
    made = simulate_session(tmp_path / "a.h5", condition="alone", time_scale=SHORT)
    with open_session(made.path) as session:
        assert session.windows(kind="interaction").empty


def test_interactions_of_the_protocol_are_tagged(tmp_path: Path) -> None:
    made = simulate_session(
        tmp_path / "a.h5", protocol="dyad_conversation", condition="strangers", time_scale=SHORT
    )
    with open_session(made.path) as session:
        labels = session.windows(kind="interaction")["label"].tolist()
    declared = [entry.label for entry in load_protocol("dyad_conversation").interactions]
    assert labels == declared


def test_truth_lies_beside_the_session(clean: SimulatedSession) -> None:
    read = load_truth(clean.path)
    np.testing.assert_array_equal(read.beat_times_s, clean.truth.beat_times_s)
    assert sorted(path.name for path in clean.path.parent.iterdir()) == ["p01.h5", "p01_truth.npz"]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    noise = Noise(dropouts_per_min=2.0, motion_per_min=2.0, electrode_pops_per_min=2.0)
    first, again, other = (
        simulate_session(tmp_path / name, seed=seed, time_scale=SHORT, noise=noise)
        for name, seed in (("a.h5", 1), ("b.h5", 1), ("c.h5", 2))
    )
    assert first.truth_path.read_bytes() == again.truth_path.read_bytes()
    with (
        open_session(first.path) as left,
        open_session(again.path) as right,
        open_session(other.path) as third,
    ):
        assert left.session_id == right.session_id != third.session_id
        assert uuid.UUID(left.session_id).version == 4
        assert left.created_utc == right.created_utc
        assert left.t0_unix_ns == right.t0_unix_ns
        for name in ("ecg", "bp", "cuff", "eda"):
            assert left.streams[name].samples.tobytes() == right.streams[name].samples.tobytes()
            assert left.streams[name].times.tobytes() == right.streams[name].times.tobytes()
        assert not np.array_equal(left.streams["eda"].samples, third.streams["eda"].samples)


def test_truth_does_not_depend_on_how_it_is_recorded(tmp_path: Path) -> None:
    plain = simulate_session(tmp_path / "a.h5", seed=3, time_scale=SHORT)
    other = simulate_session(
        tmp_path / "b.h5",
        seed=3,
        time_scale=SHORT,
        ecg_sfreq=130.0,
        streams=("ecg", "resp"),
        noise=Noise.poor(),
    )
    np.testing.assert_array_equal(plain.truth.beat_times_s, other.truth.beat_times_s)
    with open_session(other.path) as session:
        assert sorted(session.streams) == ["ecg", "resp"]
        assert session.streams["ecg"].sfreq == 130.0


def test_dropouts_are_gaps_and_known(tmp_path: Path) -> None:
    made = simulate_session(
        tmp_path / "a.h5", seed=4, time_scale=0.15, noise=Noise(dropouts_per_min=1.5)
    )
    with open_session(made.path) as session:
        for name in ("ecg", "bp", "eda"):
            stream = session.streams[name]
            gaps = made.truth.artifacts(name, "dropout")
            assert len(gaps) >= 2
            assert len(stream.segments) == len(gaps) + 1
            for onset, offset in gaps:
                assert not ((stream.times >= onset) & (stream.times < offset)).any()
            lost = (gaps[:, 1] - gaps[:, 0]).sum() * stream.sfreq
            whole = made.truth.duration_s * stream.sfreq
            assert stream.n_samples == pytest.approx(whole - lost, abs=len(gaps) + 1)


def test_noise_does_not_move_the_signal(tmp_path: Path, clean: SimulatedSession) -> None:
    noisy = simulate_session(tmp_path / "a.h5", seed=9, time_scale=SHORT, noise=Noise())
    with open_session(noisy.path) as left, open_session(clean.path) as right:
        ecg = left.streams["ecg"].samples - right.streams["ecg"].samples
        assert ecg.std() == pytest.approx(0.04, rel=0.4)
        bp = left.streams["bp"].samples - right.streams["bp"].samples
        assert bp.std() == pytest.approx(0.15, rel=0.1)
        eda = left.streams["eda"].samples - right.streams["eda"].samples
        assert eda.std() == pytest.approx(0.001, rel=0.1)


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        simulate_session(path, time_scale=SHORT)
    assert path.read_bytes() == b"mine"
    simulate_session(path, time_scale=SHORT, overwrite=True)
    with open_session(path) as session:
        assert session.closed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"streams": ("ecg", "eeg")}, SignalError, "'eeg' cannot be simulated"),
        ({"streams": ()}, SignalError, "no stream"),
        ({"ecg_sfreq": -1.0}, SignalError, "sfreq"),
        ({"seed": 1.5}, SignalError, "seed"),
        ({"cuff_error_mmhg": -1.0}, SignalError, "cuff_error_mmhg"),
        ({"condition": "nosupport"}, ConfigError, "nosupport"),
        ({"protocol": "nothing"}, ConfigError, "nothing"),
    ],
)
def test_wrong_arguments_leave_nothing_behind(
    tmp_path: Path, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        simulate_session(tmp_path / "a.h5", **{"time_scale": SHORT, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot create"):
        simulate_session(tmp_path / "no" / "a.h5", time_scale=SHORT)


@pytest.mark.slow
def test_a_lab_hour_is_whole(tmp_path: Path) -> None:
    made = simulate_session(
        tmp_path / "hour.h5", time_scale=60 / 29, ecg_sfreq=1000.0, bp_sfreq=200.0, eda_sfreq=100.0
    )
    with open_session(made.path) as session:
        assert session.streams["ecg"].n_samples == pytest.approx(3_600_000, abs=2000)
        peaks = np.searchsorted(session.streams["ecg"].times, made.truth.beat_times_s)
        samples = session.streams["ecg"].samples
    # Every beat of the hour stands out of the millivolts around it.
    assert (samples[peaks] > 0.4 * made.truth.person.r_amplitude).all()
