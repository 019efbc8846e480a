"""From a vendor file to a session file: recognition, mapping, units, events, what is said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bioread
import mne
import numpy as np
import pytest
import wfdb

from physio_hqc import open_session
from physio_hqc.errors import OutputError, PhysioError, RecordingError
from physio_hqc.importers import FORMATS, ImportReport, import_recording, read_recording
from physio_hqc.importers.recording import Channel, Marker, Recording, Segment
from physio_hqc.importers.road import write_recording

ALL = [
    "formats/acqknowledge/physio-5.0.1.acq",
    "formats/acqknowledge/physio-4.4.0-c.acq",
    "formats/acqknowledge/physio-3.9.1-c.acq",
    "formats/edf/EDFmontage0.edf",
    "formats/edf/eda_slow_signal.edf",
    "formats/edf/supine_1min.edf",
    "formats/opensignals/OSmontage1A.txt",
    "formats/opensignals/ecg_sample.h5",
    "formats/opensignals/ecg_sample.txt",
    "formats/opensignals/ecg_20_sec_1000_Hz.h5",
    "formats/xdf/minimal.xdf",
    "formats/empatica_e4",
    "abp/3975656_0013",
    "abp/3234460_0018",
    "abp/mixedsignals",
    "mitbih/101",
    "mitbih/114",
    "mitbih/208",
    "eda/eda_slow_signal.h5",
    "eda/eda_slow_signal.txt",
    "eda/signal_sample_single_hub_EDA_2018_7_5.h5",
]


def streams(report: ImportReport) -> dict[str, tuple[str, str, float, int]]:
    return {s.name: (s.source_channel, s.units, s.sfreq, s.n_samples) for s in report.streams}


@pytest.mark.parametrize("name", ALL)
def test_every_shared_file_arrives_sample_for_sample(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    recording = read_recording(shared_data / name)
    report = import_recording(shared_data / name, tmp_path / "out.h5")
    channels = {channel.name: channel for channel in recording.channels}
    with open_session(report.path) as session:
        assert session.closed
        assert set(session.streams) == {stream.name for stream in report.streams}
        for entry in report.streams:
            stream, channel = session.streams[entry.name], channels[entry.source_channel]
            stored = np.concatenate([part.samples for part in channel.segments])
            values = stored.astype(np.float64) * channel.scale + channel.offset
            tolerance = 1e-9 * np.nanmax(np.abs(values), initial=1.0) * entry.factor
            np.testing.assert_allclose(
                stream.samples, values * entry.factor, rtol=1e-9, atol=tolerance
            )
            assert stream.sfreq == channel.sfreq
            times = expected_times(channel)
            np.testing.assert_allclose(stream.times, times, rtol=0, atol=1e-6)
        assert len(session.events) == report.n_events == len(recording.markers)


def expected_times(channel: Channel) -> np.ndarray:
    if channel.times is not None:
        return channel.times
    return np.concatenate(
        [
            part.t_start + np.arange(len(part.samples)) / (part.sfreq or channel.sfreq)
            for part in channel.segments
        ]
    )


def test_acqknowledge_against_bioread(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / ALL[0]
    report = import_recording(source, tmp_path / "out.h5", participant_id="P01", condition="alone")
    assert streams(report) == {
        "eda_filtered_differentiated": (
            "EDA filtered, differentiated", "microsiemens", 2000.0, 123787,
        ),
        "ecg": ("EKG - ERS100C", "mV", 1000.0, 61893),
        "resp": ("RESP - RSP100C", "Volts", 3.90625, 241),
        "eda": ("EDA - GSR100C", "µS", 2000.0, 123787),
    }  # fmt: skip
    assert report.unrecognized == ("EDA filtered, differentiated",)
    library = bioread.read_file(str(source)).named_channels
    with open_session(report.path) as session:
        eda = session.streams["eda"]
        assert (eda.modality, eda.units) == ("eda", "µS")
        np.testing.assert_allclose(eda.samples, library["EDA - GSR100C"].data, rtol=1e-12)
        assert eda.device["unit_conversion"] == {"from": "microsiemens", "to": "µS", "factor": 1.0}
        assert eda.device["source_channel"] == "EDA - GSR100C"
        assert session.streams["eda_filtered_differentiated"].modality == "other"
        assert (session.participant_id, session.condition) == ("P01", "alone")
        assert session.t0_unix_ns == 1454430656276000000
        assert session.events["kind"].value_counts().to_dict() == {"marker": 10, "note": 1}


def test_several_rates_and_missing_samples_of_a_wfdb_record(
    shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "abp/mixedsignals"
    report = import_recording(source, tmp_path / "out.h5")
    rates = {s.name: (s.source_channel, s.sfreq) for s in report.streams}
    assert rates == {
        "ecg": ("II", 249.89),
        "ecg_2": ("III", 249.89),
        "ecg_3": ("V", 249.89),
        "bp": ("ABP", 124.945),
        "ppg": ("Pleth", 124.945),
        "resp": ("Resp", 62.4725),
    }
    assert report.unrecognized == ()
    assert any("'III' becomes 'ecg_2'" in note for note in report.notes)
    library = wfdb.rdrecord(str(source), smooth_frames=False)
    with open_session(report.path) as session:
        np.testing.assert_allclose(
            session.streams["bp"].samples, library.e_p_signal[3], rtol=1e-9, atol=1e-9
        )
        assert session.streams["bp"].units == "mmHg"


def test_the_same_samples_whatever_reads_them(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "formats/edf/supine_1min.edf"
    report = import_recording(source, tmp_path / "out.h5")
    raw = mne.io.read_raw_edf(source, verbose="ERROR")
    with open_session(report.path) as session:
        np.testing.assert_allclose(
            session.streams["ecg"].samples, raw.get_data()[0] * 1000, rtol=1e-9, atol=1e-9
        )


def test_mapping_channels_that_nobody_knows(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "formats/edf/EDFmontage0.edf"
    everything = import_recording(source, tmp_path / "all.h5")
    assert len(everything.unrecognized) == 16
    assert {stream.modality for stream in everything.streams} == {"other"}
    kept = {"X10": "ecg", "X9": "ecg_2", "dc01": "resp"}
    ignored = {s.source_channel: "ignore" for s in everything.streams} | {"DC04": "ignore"}
    for name in ("X10", "X9", "DC01", "DC03"):
        ignored.pop(name)
    report = import_recording(source, tmp_path / "mapped.h5", channel_map={**kept, **ignored})
    assert streams(report) == {
        "ecg": ("X10", "mV", 200.0, 180000),
        "ecg_2": ("X9", "mV", 200.0, 180000),
        "resp": ("DC01", "V", 200.0, 180000),
        "dc03": ("DC03", "BPM", 25.0, 22500),
    }
    assert report.unrecognized == ("DC03",)
    assert len(report.ignored) == 12
    with open_session(report.path) as session:
        second = session.streams["ecg_2"]
        assert second.device["unit_conversion"] == {"from": "uV", "to": "mV", "factor": 0.001}
        raw = mne.io.read_raw_edf(source, include=["X9"], verbose="ERROR")
        np.testing.assert_allclose(second.samples, raw.get_data()[0] * 1e3, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("channel_map", "message"),
    [
        ({"X11": "ecg"}, "no channel is named 'X11' in this recording; nearest: 'X10'"),
        ({"X10": "pulse"}, "'pulse' is no stream name"),
        ({"X10": "bp"}, "is in mV, which cannot become mmHg"),
        ({"X10": "ecg", "X9": "ecg"}, "two channels are mapped to 'ecg'"),
        ({"X10": "ecg", "x10": "ecg_2"}, "mapped twice"),
    ],
)
def test_a_map_that_does_not_fit(
    shared_data: Path, tmp_path: Path, channel_map: dict[str, str], message: str
) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(RecordingError, match=message):
        import_recording(shared_data / "formats/edf/EDFmontage0.edf", out, channel_map=channel_map)
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_is_not_stated_is_taken_as_mapped_and_said(
    shared_data: Path, tmp_path: Path
) -> None:
    report = import_recording(
        shared_data / "formats/edf/EDFmontage0.edf",
        tmp_path / "out.h5",
        channel_map={"DC02": "bp"},
    )
    assert any("'DC02': no unit is stated" in note and "mmHg" in note for note in report.notes)


# --- recordings made here, to bring what no shared file has -----------------------------------


Made = Callable[..., ImportReport]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Write a recording built in memory."""

    def run(*channels: Channel, markers: tuple[Marker, ...] = (), **how: Any) -> ImportReport:
        recording = Recording(tmp_path / "made.xyz", "made", channels, markers)
        return write_recording(recording, tmp_path / "made.h5", overwrite=True, **how)

    return run


def line(name: str, units: str, values: Any = (0, 1, 2, 3), **more: Any) -> Channel:
    return Channel(name, units, 100.0, (Segment(0.0, np.asarray(values)),), **more)


def test_units_and_integers(made: Made) -> None:
    report = made(
        line("ECG", "uV", np.array([-100, 0, 2000], dtype=">i2"), scale=0.5, offset=10.0),
        line("fiAP", "kPa", np.array([16.0, 10.0])),
        line("GSR", "S", np.array([2e-6, 4e-6])),
        line("Skin temperature", "Deg. F", np.array([98.6])),
        line("ACC X", "m/s2", np.array([9.80665])),
    )
    with open_session(report.path) as session:
        values = {name: stream.samples for name, stream in session.streams.items()}
        units = {name: stream.units for name, stream in session.streams.items()}
        conversion = session.streams["bp"].device["unit_conversion"]
    assert units == {"ecg": "mV", "bp": "mmHg", "eda": "µS", "temp": "°C", "acc": "g"}
    np.testing.assert_allclose(values["ecg"], [-0.04, 0.01, 1.01])
    np.testing.assert_allclose(values["bp"], [120.00985213, 75.00615758], rtol=1e-8)
    np.testing.assert_allclose(values["eda"], [2, 4])
    np.testing.assert_allclose(values["temp"], [37.0])
    np.testing.assert_allclose(values["acc"], [1.0])
    assert conversion["factor"] == pytest.approx(7.5006157585)


def test_gaps_rates_and_irregular_channels(made: Made) -> None:
    ecg = Channel(
        "ECG", "mV", 100.0, (Segment(1.0, np.arange(100)), Segment(5.0, np.arange(50), 100.2))
    )
    rr = Channel(
        "IBI", "ms", 0.0, (Segment(0.0, np.array([800.0, 900.0])),), times=np.array([1.0, 1.9])
    )
    report = made(ecg, rr)
    with open_session(report.path) as session:
        segments = session.streams["ecg"].segments
        np.testing.assert_allclose(segments["t_start"], [1.0, 5.0])
        np.testing.assert_allclose(segments["sfreq"], [100.0, 100.2], rtol=1e-6)
        np.testing.assert_allclose(session.streams["rr"].samples, [0.8, 0.9])
        np.testing.assert_allclose(session.streams["rr"].times, [1.0, 1.9])


def test_two_channels_of_one_name_can_be_told_apart(made: Made) -> None:
    report = made(
        line("ECG", "mV"), line("ECG", "mV"), channel_map={"ECG (2)": "ecg", "ECG": "ignore"}
    )
    assert streams(report) == {"ecg": ("ECG (2)", "mV", 100.0, 4)}
    assert report.ignored == ("ECG",)


def test_names_of_unrecognized_channels_never_collide(made: Made) -> None:
    report = made(line("a b", "x"), line("a-b", "x"), line("ECG", ""), line("µ", "x"))
    assert [s.name for s in report.streams] == ["a_b", "a_b_2", "other_ecg", "channel"]
    assert report.unrecognized == ("a b", "a-b", "ECG", "µ")


def test_a_mapped_name_goes_before_a_recognized_one(made: Made) -> None:
    report = made(line("ECG", "mV"), line("chest", "uV"), channel_map={"chest": "ecg"})
    assert {s.source_channel: s.name for s in report.streams} == {"ECG": "ecg_2", "chest": "ecg"}


def test_what_has_a_rate_is_a_waveform_and_what_has_none_is_not(made: Made) -> None:
    with pytest.raises(RecordingError, match=r"'RRI' has a rate of 100 Hz; rr readings"):
        made(line("RRI", "ms"), channel_map={"RRI": "rr"})
    beats = Channel(
        "systole", "mmHg", 0.0, (Segment(0.0, np.array([120.0])),), times=np.array([1.0])
    )
    with pytest.raises(RecordingError, match="'systole' has no constant rate"):
        made(beats, channel_map={"systole": "bp"})


def test_an_ambiguous_key(made: Made) -> None:
    with pytest.raises(RecordingError, match="'Ecg' could be 'ECG' or 'ecg'"):
        made(line("ECG", "mV"), line("ecg", "mV"), channel_map={"Ecg": "ecg"})


def test_nothing_left_to_import(made: Made) -> None:
    with pytest.raises(RecordingError, match="no channel with samples"):
        made(line("ECG", "mV"), line("EDA", "uS", ()), channel_map={"ECG": "ignore"})


def test_long_markers_are_shortened_not_lost(made: Made) -> None:
    marker = Marker(0.01, "L" * 400, payload={"text": "ä" * 9000, "n": np.int64(3), "x": np.nan})
    report = made(line("ECG", "mV"), markers=(marker,))
    with open_session(report.path) as session:
        [event] = session.events.to_dict("records")
    assert event["payload"]["label"] == "L" * 400
    assert event["payload"]["text"].startswith("ää")
    assert event["payload"]["n"] == 3


def test_half_characters_from_a_damaged_header_do_no_harm(made: Made) -> None:
    bad = "\udcf6\x00"
    report = made(
        line(f"ECG{bad}", f"mV{bad}", device={f"serial{bad}": bad}),
        markers=(Marker(0.0, f"press{bad}", payload={"text": bad}),),
    )
    with open_session(report.path) as session:
        [event] = session.events.to_dict("records")
        assert event["label"] == "press?"


def test_an_impossible_start_time_is_left_out(tmp_path: Path) -> None:
    channel = line("ECG", "mV")
    recording = Recording(tmp_path / "made.xyz", "made", (channel,), t0_unix_ns=10**25)
    report = write_recording(recording, tmp_path / "made.h5")
    assert any("start time in the file makes no sense" in note for note in report.notes)


# --- events, output, errors -------------------------------------------------------------------


def test_events_by_hand_stand_beside_the_markers(shared_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "phases.csv"
    table.write_text(
        "onset,duration,kind,label,condition\n0,20,phase,baseline,\n20,30,phase,speech,support\n"
        "25,10,interaction,praise,support\n90,5,marker,late,\n"
    )
    source = shared_data / ALL[0]
    report = import_recording(source, tmp_path / "out.h5", events=table)
    assert report.n_events == 15
    assert any("1 events begin after the recording's end at 61.9" in note for note in report.notes)
    with open_session(report.path) as session:
        windows = session.windows(kind="phase")
        assert windows["label"].tolist() == ["baseline", "speech"]
        assert session.windows(kind="interaction")["onset"].tolist() == [25.0]
        by_source = session.events.groupby("source").size().to_dict()
    assert by_source == {"phases.csv": 4, "physio-5.0.1.acq": 11}


def test_bad_events_leave_no_session(shared_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "phases.csv"
    table.write_text("onset,duration,kind,label\nx,20,phase,baseline\n")
    with pytest.raises(RecordingError, match=r"phases\.csv, line 2, column onset"):
        import_recording(shared_data / ALL[0], tmp_path / "out.h5", events=table)
    assert [path.name for path in tmp_path.iterdir()] == ["phases.csv"]


def test_the_default_target_and_an_existing_one(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = import_recording(shared_data / "formats/edf/eda_slow_signal.edf")
    assert report.path.resolve() == tmp_path / "eda_slow_signal.h5"
    with pytest.raises(OutputError, match="exists already"):
        import_recording(shared_data / "formats/edf/eda_slow_signal.edf")
    import_recording(shared_data / "formats/edf/eda_slow_signal.edf", overwrite=True)


def test_the_source_is_never_overwritten(shared_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "ecg_sample.h5"
    content = (shared_data / "formats/opensignals/ecg_sample.h5").read_bytes()
    source.write_bytes(content)
    with pytest.raises(OutputError, match="is the recording itself"):
        import_recording(source, source, overwrite=True)
    assert source.read_bytes() == content
    with pytest.raises(PhysioError):
        import_recording(source, tmp_path / "no_such_folder" / "out.h5")
    with pytest.raises(OutputError, match="is a folder"):
        import_recording(source, tmp_path)


def test_every_format_has_its_module_and_its_own_name() -> None:
    assert len({item.name for item in FORMATS}) == len(FORMATS)
    for item in FORMATS:
        assert item.suffixes
        assert all(suffix.startswith(".") for suffix in item.suffixes)


def test_the_room_loads_no_reader_before_it_is_needed() -> None:
    code = (
        "import sys, physio_hqc.importers as i; i.FORMATS; i.import_recording;"
        "heavy = {'wfdb', 'mne', 'bioread', 'pyxdf', 'scipy', 'matplotlib'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_unit_in_the_name_counts_where_the_file_states_none(tmp_path: Path) -> None:
    lines = ["# sfreq: 10", "ecg_mV,x"] + [f"{i},1" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    channel, other = read_recording(tmp_path / "a.csv").channels
    assert (channel.name, channel.units, other.units) == ("ecg_mV", "mV", "")


@pytest.mark.parametrize(
    "text", ["ECG [mV]\n0.1\n0.2\n0.3\n", "0.1\n0.2\n0.3\n0.4\n", "ECG,EDA\n1,2\n3,4\n"]
)
def test_a_table_without_a_rate_is_told_what_is_missing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RecordingError, match=r"# sfreq: 250|no header row"):
        read_recording(tmp_path / "a.csv")
