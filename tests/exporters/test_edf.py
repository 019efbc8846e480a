"""EDF+: read by others (MNE, edfio), and read back as the session that it was."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physio_hqc import import_recording, open_session
from physio_hqc.errors import OutputError, RecordingError
from physio_hqc.exporters import export_session
from physio_hqc.exporters._edf_plan import plan_records
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import simulate_session

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "sample_recordings").glob("*.h5"))
VENDORS = (
    "mitbih/102", "mitbih/101", "abp/3234460_0018", "abp/mixedsignals", "eda/eda_slow_signal.txt",
)  # fmt: skip


def round_trip(source: Path, folder: Path) -> tuple[Path, Path, tuple[str, ...]]:
    report = export_session(source, folder / "x.edf", to="edf", overwrite=True)
    again = import_recording(report.paths[0], folder / "again.h5", overwrite=True)
    return report.paths[0], again.path, report.notices


@pytest.mark.parametrize("source", SAMPLES, ids=lambda path: path.stem)
def test_samples_come_back(source, tmp_path, same_session):
    _, again, notices = round_trip(source, tmp_path)
    same_session(source, again, exact=False)
    assert any(re.fullmatch(r"eda: rounded to 16 bits, steps of \S+ µS", text) for text in notices)


def test_a_simulated_session_comes_back(tmp_path, same_session):
    simulate_session(tmp_path / "s.h5", seed=4, time_scale=0.1)
    _, again, _ = round_trip(tmp_path / "s.h5", tmp_path)
    same_session(tmp_path / "s.h5", again, exact=False)


def test_drift_jitter_and_gaps_come_back(live, tmp_path, same_session):
    _, again, notices = round_trip(live.path, tmp_path)
    same_session(live.path, again, exact=False)
    counted = [re.search(r"(\d+) of (\d+) points repeat", text) for text in notices]
    assert all(int(m[1]) < int(m[2]) / 3000 for m in counted if m)


@pytest.mark.parametrize("name", VENDORS)
def test_real_recordings_come_back(name, shared_data, tmp_path, same_session):
    if not list(shared_data.glob(f"{name}*")):
        pytest.skip(f"{name} is not there")
    source = import_recording(shared_data / name, tmp_path / "vendor.h5").path
    _, again, notices = round_trip(source, tmp_path)
    told = [re.match(r"(\w+): rounded to 16 bits, steps of (\S+)", text) for text in notices]
    same_session(source, again, exact=False, steps={m[1]: float(m[2]) for m in told if m})


def test_mne_sees_every_pulse_within_one_sample(live, tmp_path):
    path, *_ = round_trip(live.path, tmp_path)
    raw = mne.io.read_raw_edf(path, include=["ECG"], verbose="error")
    rate, ecg = raw.info["sfreq"], raw.get_data()[0]
    outside = [p for p in live.pulses_s if not 399 < p < 461]
    found = [
        (np.argmax(ecg[(a := round((p - 0.1) * rate)) : round((p + 0.1) * rate)]) + a) / rate
        for p in outside
    ]
    assert len(found) > 150
    # 40 ppm over 20 minutes would be 12 samples; the delay of the fastest packet is 20 ms and more.
    with open_session(live.path) as session:
        stream = session.streams["ecg"]
        times, samples = stream.times, stream.samples
    ours = [times[(near := np.abs(times - p) < 0.1)][np.argmax(samples[near])] for p in outside]
    assert np.max(np.abs(np.array(found) - ours)) <= 1 / rate


def test_mne_reads_rates_values_and_annotations(live, tmp_path):
    path, *_ = round_trip(live.path, tmp_path)
    raw = mne.io.read_raw_edf(path, include=["ECG"], verbose="error", encoding="utf8")
    assert raw.info["sfreq"] == pytest.approx(250.01, rel=2e-4)
    assert raw.info["meas_date"].isoformat().startswith("2025-11-23T12:13:20")
    with open_session(live.path) as session:
        times, samples = session.streams["ecg"].read(100, 110)
        events = session.events
    grid = np.rint((times + 0) * raw.info["sfreq"]).astype(int)
    np.testing.assert_allclose(raw.get_data()[0][grid] * 1e3, samples, atol=2e-4)
    shown = {a["description"]: (a["onset"], a["duration"]) for a in raw.annotations}
    speech = events[events["label"] == "speech"].iloc[0]
    assert shown["phase/speech"] == pytest.approx((speech["onset"], speech["duration"]), abs=1e-6)
    assert shown["note/läuft gut"][0] == pytest.approx(500.0)
    assert shown["interaction/talk"][1] >= live.duration - 701, "an open event lasts to the end"
    assert shown["cuff SBP=120 DBP=80 HR=70"] == pytest.approx((30.25, 0))
    gap = max(
        ((a["onset"], a["duration"]) for a in raw.annotations if a["description"] == "BAD_gap ecg"),
        key=lambda span: span[1],
    )
    assert gap == pytest.approx((400, 60), abs=0.7)


def test_edfio_reads_digital_values_bit_by_bit(live, tmp_path):
    path, *_ = round_trip(live.path, tmp_path)
    file = edfio.read_edf(path)
    assert file.labels == ("ACC_x", "ACC_y", "ACC_z", "ECG", "EDA")
    assert file.is_continuous
    assert file.get_signal("ACC_x").physical_dimension == "g"
    assert file.get_signal("EDA").physical_dimension == "uS"
    with open_session(live.path) as session:
        stored = session.streams["acc"].stored
    for column, label in enumerate(("ACC_x", "ACC_y", "ACC_z")):
        digital = file.get_signal(label).digital
        assert digital[digital != -32768].tolist() == stored[:, column].tolist()
    assert all(len(a.text.encode()) < 512 for a in file.annotations), "EDFlib cuts longer ones"
    widths = [s.samples_per_data_record for s in file._signals if s._is_annotation_signal]
    assert widths[0] * 2 < 61440


def test_the_same_bytes_again(live, tmp_path):
    a = export_session(live.path, tmp_path / "a.edf", to="edf").paths[0].read_bytes()
    assert a == export_session(live.path, tmp_path / "b.edf", to="edf").paths[0].read_bytes()


def written(path: Path, samples: np.ndarray, **about: object) -> Path:
    about = {"modality": "other", "units": "V", "sfreq": 10.0, **about}
    with SessionWriter(path, t0_unix_ns=0, overwrite=True) as writer:
        writer.add_stream("x", dtype=samples.dtype, **about)
        writer.add_stream("empty", modality="eda", units="µS", sfreq=4.0)
        writer.add_stream("none", modality="rr", units="s", sfreq=0)
        writer.append_segment("x", samples, t_start=0.0)
    return path


@pytest.mark.parametrize(
    "samples",
    [
        np.full(25, 3.5),
        np.zeros(25),
        np.array([1e-9, 2e-9, 1.5e-9] * 5),
        np.array([1e12, 2e12, 1.5e12] * 5),
        np.array([-1e29, 1e29, 0] * 5),
        np.array([101325.01, 101325.02] * 5),
        np.array([np.nan, 1, 2, np.nan, np.nan, 5]),
        np.array([-np.inf, 1, 2, np.inf]),
        np.full(7, np.nan),
        np.arange(70000, dtype="int32") * 3,
        np.array([2**31 - 1, 2**31 - 3], dtype="int64"),
        np.array([2**63 + 5, 2**63], dtype="uint64"),
        np.array([0, 65535], dtype="uint16"),
        np.array([-32768, 32767, 5], dtype="int16"),
        np.array([7], dtype="int8"),
        np.array([0.1], dtype="float32"),
    ],
    ids=lambda x: f"{x.dtype}-{x[0]}",
)
def test_odd_values_come_back(samples, tmp_path, same_session):
    source = written(tmp_path / "x.h5", samples)
    path, again, notices = round_trip(source, tmp_path)
    raw = mne.io.read_raw_edf(path, verbose="error")
    assert raw.n_times >= samples.size
    with open_session(again) as session:
        back = session.streams["x"].samples
        assert list(session.streams) == ["empty", "none", "x"]
        assert session.t0_unix_ns == 0
    if samples.dtype.kind in "iu" and float(samples.max()) - float(samples.min()) <= 65535:
        assert back.tolist() == samples.astype(float).tolist()
        return
    usable = samples.astype(float)
    usable[~np.isfinite(usable)] = np.nan
    told = [float(m[1]) for text in notices if (m := re.search(r"steps of (\S+)", text))]
    assert len(told) == 1
    whole = 0.5 * (samples.dtype.kind in "iu")
    np.testing.assert_allclose(back, usable, rtol=1e-6, atol=0.51 * told[0] + whole)
    spread = np.nanmax(usable, initial=0) - np.nanmin(usable, initial=0)
    assert told[0] <= max(spread * 3, 1.0) / 60000 or spread == 0


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_session_comes_back(data, tmp_path, same_session):
    n_streams = data.draw(st.integers(1, 3))
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=80)
    plain = text | st.none() | st.integers(-9, 9)
    path = tmp_path / "any.h5"
    with SessionWriter(
        path, participant_id=data.draw(text), condition=data.draw(text), overwrite=True,
        protocol=data.draw(text), t0_unix_ns=data.draw(st.integers(-(2**60), 2**61)),
    ) as writer:  # fmt: skip
        parts = []
        for k in range(n_streams):
            rate = data.draw(st.sampled_from([1.0, 4.0, 32.0, 51.2, 100.0, 250.0, 1000 / 3, 7.3]))
            dtype = data.draw(st.sampled_from(["int16", "uint16", "int8", "float32", "float64"]))
            writer.add_stream(f"s{k}", modality="other", units="V", sfreq=rate, dtype=dtype,
                              device={"a": data.draw(text)}, scale=0.25)  # fmt: skip
            at = data.draw(st.floats(-3, 100))
            for _ in range(data.draw(st.integers(0, 4))):
                n = data.draw(st.integers(1, 300))
                true = rate * (1 + data.draw(st.floats(-3e-4, 3e-4)))
                values = np.random.default_rng(n).integers(0, 100, n).astype(dtype)
                parts.append((f"s{k}", values, at, true))
                at += n / true + data.draw(st.floats(1.1, 100)) / rate + 1e-3
        for part in parts:
            writer.append_segment(*part)
        for _ in range(data.draw(st.integers(0, 5))):
            length = data.draw(st.floats(0, 100) | st.just(math.nan))
            writer.add_event(
                data.draw(st.floats(-10, 1e5)), data.draw(st.sampled_from(["phase", "note"])),
                data.draw(text), duration=length,
                source=data.draw(text.filter(lambda s: len(s) < 30)),
                payload=data.draw(st.dictionaries(text, plain, max_size=3)),
            )  # fmt: skip
    if not parts:
        with pytest.raises(OutputError, match="nothing to export"):
            round_trip(path, tmp_path)
        return
    edf, again, _ = round_trip(path, tmp_path)
    same_session(path, again, exact=False)
    edfio.read_edf(edf).annotations  # noqa: B018 - it parses


# --- what is read from annotations is untrusted --------------------------------------------------


@pytest.fixture
def small(tmp_path) -> Path:
    source = written(tmp_path / "x.h5", np.arange(40, dtype="int16"))
    with SessionWriter(source, t0_unix_ns=5, overwrite=True) as writer:
        writer.add_stream("x", modality="ecg", units="mV", sfreq=10.0, dtype="int16")
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_segment("x", np.arange(40), t_start=0.0)
        writer.append_irregular("rr", [1.0], [0.8])
        writer.add_event(1.5, "marker", "tone")
    return export_session(source, tmp_path / "x.edf", to="edf").paths[0]


def altered(path: Path, change) -> Path:
    """Write the file again, with another companion."""
    from physio_hqc.exporters._companion import companion_texts

    file = edfio.read_edf(path)
    ours = [a for a in file.annotations if a.text.startswith("physio_hqc ")]
    told = json.loads("".join(a.text.split(" ", 3)[3] for a in ours))
    change(told)
    file.set_annotations(
        [a for a in file.annotations if a not in ours]
        + [edfio.EdfAnnotation(0, None, text) for text in companion_texts(told)]
    )
    file.write(path)
    return path


def put(*keys, value):
    def change(told):
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("version", value=2),
        put("streams", 1, "name", value="../x"),
        put("streams", 1, "name", value="rr"),
        put("streams", 1, "modality", value="brain"),
        put("streams", 1, "sfreq", value=-1.0),
        put("streams", 1, "dtype", value="object"),
        put("streams", 1, "scale", value=[1.0, 2.0]),
        put("streams", 1, "channels", value=[]),
        put("streams", 1, "digital", value=[]),
        put("streams", 1, "first_signal", value=None),
        put("streams", 1, "segments", value=[[-3, 0.0, 10.0]]),
        put("streams", 1, "segments", value=[[3, 0.0, 0.0]]),
        put("streams", 0, "times", value=[1.0, 2.0]),
        put("streams", 0, "values", value=[[1.0]]),
        put("streams", 0, "times", value=["1"]),
        put("events", value=[[0.0, -1.0, "marker", "a", "", {}]]),
        put("events", value=[[0.0, 1.0, "surprise", "a", "", {}]]),
        put("events", value=[[0.0, 1.0, "marker", "a"]]),
        put("session", value=None),
        put("session", "protocol", value="x" * 70000),
        put("origin_s", value="0"),
    ],
)
def test_a_companion_that_makes_no_sense_is_refused(change, small, tmp_path):
    with pytest.raises(RecordingError) as caught:
        import_recording(altered(small, change), tmp_path / "again.h5")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "again.h5").exists()


@pytest.mark.parametrize(
    "change",
    [
        put("streams", 1, "segments", value=[[10**9, 0.0, 10.0]]),
        put("streams", 1, "segments", value=[[30, 5.0, 10.0]]),
        put("streams", 1, "segments", value=[[3, -1e12, 10.0]]),
        put("streams", 1, "segments", value=[[3, 0.0, 1e300]]),
        put("streams", 1, "first_signal", value=7),
        put("streams", 1, "first_signal", value=1),
    ],
)
def test_signals_that_are_not_those_exported_are_read_plainly(change, small, tmp_path):
    report = import_recording(altered(small, change), tmp_path / "again.h5")
    assert any("plain EDF+" in note for note in report.notes)
    assert [s.source_channel for s in report.streams] == ["X"]


def test_a_companion_with_a_piece_missing_is_said_and_left_out(small, tmp_path):
    file = edfio.read_edf(small)
    file.drop_annotations(next(a.text for a in file.annotations if "physio_hqc 2/" in a.text))
    file.write(small)
    report = import_recording(small, tmp_path / "again.h5")
    assert any("missing or were changed" in note for note in report.notes)
    with open_session(report.path) as session:
        assert not session.events["label"].str.startswith("physio_hqc").any()
        assert "marker/tone" in session.events["label"].tolist()


def test_annotations_added_by_others_are_kept(small, tmp_path):
    file = edfio.read_edf(small)
    file.add_annotations([edfio.EdfAnnotation(2.0, 0.5, "artifact"),
                          edfio.EdfAnnotation(3.0, None, "marker/tone")])  # fmt: skip
    file.write(small)
    report = import_recording(small, tmp_path / "again.h5")
    with open_session(report.path) as session:
        events = session.events[["onset", "duration", "label"]].to_numpy().tolist()
    assert events == [[1.5, 0.0, "tone"], [2.0, 0.5, "artifact"], [3.0, 0.0, "marker/tone"]]


def test_irregular_streams_alone_make_a_file(tmp_path, same_session):
    with SessionWriter(tmp_path / "rr.h5", t0_unix_ns=1) as writer:
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        writer.append_irregular("rr", [1.0, 1.8], [0.9, 0.8])
    _, again, _ = round_trip(tmp_path / "rr.h5", tmp_path)
    same_session(tmp_path / "rr.h5", again, exact=True)


# --- record durations ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from([1.0, 4.0, 25.0, 32.0, 64.0, 100.0, 130.0, 250.0, 1000.0]),
        min_size=1, max_size=5,
    ),
    st.lists(st.floats(-2e-4, 2e-4), min_size=5, max_size=5),
    st.floats(1, 80000),
)  # fmt: skip
def test_no_signal_is_slower_than_asked_and_hardly_faster(nominal, drift, length):
    rates = [rate * (1 + d) for rate, d in zip(nominal, drift, strict=False)]
    plan = plan_records(rates, length)
    assert len(repr(plan.duration).removesuffix(".0")) <= 8
    for rate, got, count in zip(rates, plan.rates(), plan.counts, strict=True):
        assert got >= rate * (1 - 2e-9)
        # Relative to what is asked, or one sample in the length of the recording.
        assert got <= rate * (1 + 1 / 1000) or count <= 2 or got - rate <= 1.01 / plan.duration


def test_usual_rates_are_exact():
    assert plan_records([250.0, 100.0, 32.0, 4.0, 130.0, 51.2, 1000 / 3], 600).duration == 7.5
    plan = plan_records([256.0, 128.0], 600)
    assert plan.rates() == (256.0, 128.0)
