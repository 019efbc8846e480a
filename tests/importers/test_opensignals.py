import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers.opensignals import read, sniff

BITALINO = {
    "sensor": ["ECGBIT", "EDABIT"],
    "column": ["nSeq", "I1", "I2", "O1", "O2", "A2", "A3"],
    "label": ["A2", "A3"],
    "resolution": [4, 1, 1, 1, 1, 10, 10],
    "sampling rate": 100,
    "device": "bitalino_rev",
    "date": "2018-5-28",
    "time": "7:3:47.29",
}
PLUX = {
    "sensor": ["ECG", "EDA"],
    "column": ["nSeq", "DI", "CH1", "CH2"],
    "label": ["CH1", "CH2"],
    "resolution": [16, 16],
    "sampling rate": 1000,
    "device": "biosignalsplux",
    "date": "2017-1-17",
    "time": "14:50:32.316",
}


def write_text(path: Path, devices: dict, rows, *, trailing_tab: bool = True) -> Path:
    end = "\t\n" if trailing_tab else "\n"
    body = "".join("\t".join(map(str, row)) + end for row in rows)
    path.write_text(
        f"# OpenSignals Text File Format\n# {json.dumps(devices)}\n# EndOfHeader\n{body}"
    )
    return path


def bitalino(path: Path, sequence, *, a2=512, a3=512, digital=None, **changes) -> Path:
    a2, a3 = np.broadcast_to(a2, len(sequence)), np.broadcast_to(a3, len(sequence))
    digital = np.zeros(len(sequence), int) if digital is None else digital
    rows = [(s, d, 0, 0, 0, x, y) for s, d, x, y in zip(sequence, digital, a2, a3, strict=True)]
    return write_text(path, {"AA:BB": BITALINO | changes}, rows)


def physical(channel):
    return [s.samples * channel.scale + channel.offset for s in channel.segments]


# ---- transfer functions: worked values of the makers' sheets -------------------------------------


def test_bitalino_values(tmp_path):
    levels = [0, 256, 512, 1023]
    ecg, eda = read(bitalino(tmp_path / "a.txt", range(4), a2=levels, a3=levels)).channels
    assert (ecg.name, ecg.modality, ecg.units) == ("A2", "ecg", "mV")
    assert (eda.name, eda.modality, eda.units) == ("A3", "eda", "µS")
    np.testing.assert_allclose(physical(ecg)[0], [-1.5, -0.75, 0, 1.49707], atol=5e-6)
    np.testing.assert_allclose(physical(eda)[0], [0, 6.25, 12.5, 24.97559], atol=5e-6)
    assert ecg.segments[0].samples.tolist() == levels
    assert ecg.segments[0].samples.dtype.kind in "iu"


def test_biosignalsplux_values(tmp_path):
    rows = [(0, 0, 40000, 32768), (1, 0, 32768, 0)]
    ecg, eda = read(write_text(tmp_path / "a.txt", {"AA": PLUX}, rows)).channels
    np.testing.assert_allclose(physical(ecg)[0], [0.32488, 0], atol=5e-6)
    np.testing.assert_allclose(physical(eda)[0], [12.5, 0])


def test_first_generation_bitalino_eda(tmp_path):
    path = bitalino(tmp_path / "a.txt", range(3), a3=[0, 512, 768], device="bitalino")
    recording = read(path)
    eda = recording.channels[1]
    np.testing.assert_allclose(physical(eda)[0], [1, 2, 4])
    assert any("first generation" in note for note in recording.notes)


def test_six_bit_eda_cannot_carry_responses(tmp_path):
    path = bitalino(tmp_path / "a.txt", range(2), a3=[0, 63], resolution=[4, 1, 1, 1, 1, 10, 6])
    recording = read(path)
    np.testing.assert_allclose(physical(recording.channels[1])[0], [0, 63 / 64 * 25])
    assert any("6 bits" in note for note in recording.notes)


def test_unknown_sensors_and_devices_stay_raw(tmp_path):
    path = bitalino(tmp_path / "a.txt", range(2), sensor=["RAW", "CUSTOM/0.5"])
    assert [(c.modality, c.units, c.scale) for c in read(path).channels] == [(None, "raw", 1.0)] * 2
    path = bitalino(tmp_path / "b.txt", range(2), device="toaster")
    recording = read(path)
    assert {c.units for c in recording.channels} == {"raw"}
    assert any("toaster" in note for note in recording.notes)
    path = bitalino(tmp_path / "c.txt", range(2), resolution=[4, 1, 1])
    assert {c.units for c in read(path).channels} == {"raw"}


def test_converted_values_are_kept(tmp_path):
    header = PLUX | {"convertedValues": 1}
    rows = [(0, 0, 0.125, 3.5), (1, 0, -0.25, 3.75)]
    ecg, eda = read(write_text(tmp_path / "a.txt", {"AA": header}, rows)).channels
    assert (ecg.scale, ecg.offset, ecg.units, eda.units) == (1.0, 0.0, "mV", "µS")
    assert ecg.segments[0].samples.tolist() == [0.125, -0.25]


# ---- time, losses, markers -----------------------------------------------------------------------


def test_local_time_is_not_padded(tmp_path):
    recording = read(bitalino(tmp_path / "a.txt", range(2)))
    expected = datetime(2018, 5, 28, 7, 3, 47, 290_000, tzinfo=UTC)
    assert recording.t0_unix_ns == round(expected.timestamp() * 100) * 10**7
    assert any("zone" in note for note in recording.notes)
    assert read(bitalino(tmp_path / "b.txt", range(2), time="later")).t0_unix_ns is None


@pytest.mark.parametrize("lost", [1, 7, 15])
def test_a_counter_that_wraps_tells_losses(tmp_path, lost):
    frames = np.concatenate([np.arange(40), np.arange(40, 100) + lost])
    recording = read(bitalino(tmp_path / "a.txt", frames % 16, a2=np.arange(100)))
    first, second = recording.channels[0].segments
    assert (first.t_start, len(first.samples), len(second.samples)) == (0.0, 40, 60)
    assert second.t_start == pytest.approx((40 + lost) / 100)
    assert second.samples[0] == 40
    assert any(f"{lost} frames were lost at 1 places" in note for note in recording.notes)


def test_a_whole_recording_without_loss_is_one_stretch(tmp_path):
    recording = read(bitalino(tmp_path / "a.txt", np.arange(500) % 16))
    assert len(recording.channels[0].segments) == 1
    assert not any("lost" in note for note in recording.notes)


def test_losses_with_the_counter_of_biosignalsplux(tmp_path):
    frames = np.concatenate([np.arange(65_530, 65_540), np.arange(65_545, 65_600)])
    rows = [(f % 65_536, 0, 32_768, 0) for f in frames]
    ecg = read(write_text(tmp_path / "a.txt", {"AA": PLUX}, rows)).channels[0]
    assert [len(s.samples) for s in ecg.segments] == [10, 55]
    assert ecg.segments[1].t_start == pytest.approx(0.015)


def test_digital_input_makes_markers(tmp_path):
    line = np.zeros(100, int)
    line[20:30] = 1
    line[95:] = 1
    recording = read(bitalino(tmp_path / "a.txt", np.arange(100) % 16, digital=line))
    got = [(m.label, m.onset, m.duration) for m in recording.markers]
    assert got == [("I1", 0.2, pytest.approx(0.1)), ("I1", 0.95, pytest.approx(0.04))]


def test_markers_lie_after_lost_frames(tmp_path):
    frames = np.concatenate([np.arange(10), np.arange(20, 30)])
    line = np.zeros(20, int)
    line[15:17] = 1
    recording = read(bitalino(tmp_path / "a.txt", frames % 16, digital=line))
    assert recording.markers[0].onset == pytest.approx(0.25)


def test_two_devices_are_two_blocks_of_columns(tmp_path):
    devices = {"AA": PLUX | {"sampling rate": 100}, "BB": BITALINO}
    rows = [(i, 0, 100 + i, 200 + i, i, 0, 0, 0, 0, 300 + i, 400 + i) for i in range(5)]
    recording = read(write_text(tmp_path / "a.txt", devices, rows))
    assert [c.name for c in recording.channels] == ["AA CH1", "AA CH2", "BB A2", "BB A3"]
    assert [int(c.segments[0].samples[4]) for c in recording.channels] == [104, 204, 304, 404]
    assert [c.segments[0].t_start for c in recording.channels] == [0.0] * 4
    devices["AA"] = PLUX
    with pytest.raises(RecordingError, match="different rates"):
        read(write_text(tmp_path / "b.txt", devices, rows))


# ---- shared recordings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column", "rate", "units", "formula"),
    [
        ("formats/opensignals/OSmontage1A.txt", 6, 100, "mV", lambda x: (x / 1024 - 0.5) * 3),
        (
            "formats/opensignals/ecg_sample.txt",
            2,
            200,
            "mV",
            lambda x: (x / 65536 - 0.5) * 3000 / 1019,
        ),
        ("eda/eda_slow_signal.txt", 2, 100, "µS", lambda x: x / 65536 * 25),
    ],
)
def test_shared_text_files(shared_data, name, column, rate, units, formula):
    path = shared_data / name
    assert sniff(path)
    raw = np.loadtxt(path, usecols=column)
    channel = next(c for c in read(path).channels if c.modality)
    assert (channel.sfreq, channel.units) == (rate, units)
    np.testing.assert_array_equal(channel.segments[0].samples, raw)
    np.testing.assert_allclose(physical(channel)[0], formula(raw), atol=1e-12)


def test_shared_montage(shared_data):
    recording = read(shared_data / "formats/opensignals/OSmontage1A.txt")
    channels = [(c.name, c.modality, c.units) for c in recording.channels]
    assert channels == [("A2", None, "raw"), ("A3", "ecg", "mV"), ("A4", None, "raw")]
    assert [len(c.segments) for c in recording.channels] == [1, 1, 1]
    assert len(recording.channels[0].segments[0].samples) == 24_480
    assert recording.t0_unix_ns == 1527524171455 * 10**6


@pytest.mark.parametrize(
    "stem", ["formats/opensignals/ecg_sample", "eda/eda_slow_signal"], ids=["ecg", "eda"]
)
def test_text_equals_hdf5(shared_data, stem):
    text, binary = (read(shared_data / f"{stem}{end}") for end in (".txt", ".h5"))
    assert text.t0_unix_ns == binary.t0_unix_ns
    assert text.markers == binary.markers
    for a, b in zip(text.channels, binary.channels, strict=True):
        assert (a.name, a.units, a.sfreq, a.scale, a.offset, a.modality) == (
            b.name,
            b.units,
            b.sfreq,
            b.scale,
            b.offset,
            b.modality,
        )
        np.testing.assert_array_equal(a.segments[0].samples, b.segments[0].samples)


@pytest.mark.parametrize(
    ("name", "n", "rate", "modality"),
    [
        ("formats/opensignals/ecg_20_sec_1000_Hz.h5", 20_400, 1000, "ecg"),
        ("eda/signal_sample_single_hub_EDA_2018_7_5.h5", 94_650, 1000, "eda"),
    ],
)
def test_shared_hdf5_files(shared_data, name, n, rate, modality):
    path = shared_data / name
    assert sniff(path)
    recording = read(path)
    (channel,) = recording.channels
    with h5py.File(path) as file:
        raw = file[next(iter(file))]["raw/channel_1"][:, 0]
    assert (len(raw), channel.sfreq, channel.modality) == (n, rate, modality)
    assert len(channel.segments) == 1
    np.testing.assert_array_equal(channel.segments[0].samples, raw)
    # The counter of the longer file ends at its limit of 65535; no frame is lost by that.
    assert any("65535" in note for note in recording.notes) == (n > 65_536)


# ---- HDF5 made here ------------------------------------------------------------------------------


def write_hdf5(path: Path, *, device="biosignalsplux", sensor="ECG", n=50, bits=16) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("AA:BB")
        group.attrs.update(
            {
                "device": device,
                "sampling rate": 100,
                "resolution": np.array([bits]),
                "date": "2018-1-2",
                "time": "3:4:5.6",
                "digital IO": np.array([0, 1]),
            }
        )
        raw = group.create_group("raw")
        raw["channel_1"] = np.arange(n, dtype=np.uint16)[:, None]
        raw["channel_1"].attrs["sensor"] = sensor
        raw["channel_1"].attrs["label"] = "CH1"
        raw["nSeq"] = np.arange(n, dtype=np.uint16)[:, None]
        line = np.zeros((n, 1), np.uint16)
        line[10:12] = 1
        group.create_group("digital")["digital_1"] = line
    return path


@pytest.mark.parametrize("sensor", ["ECG", "['ECG']", np.bytes_(b"ECG"), ["ECG"], "ECGBIT"])
def test_sensor_names_in_all_spellings(tmp_path, sensor):
    (channel,) = read(write_hdf5(tmp_path / "a.h5", sensor=sensor)).channels
    assert channel.modality == "ecg"


def test_hdf5_digital_input(tmp_path):
    (marker,) = read(write_hdf5(tmp_path / "a.h5")).markers
    assert (marker.label, marker.onset, marker.duration) == ("DI", 0.1, pytest.approx(0.02))


def test_hdf5_links_and_sizes(tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(50)
    path = write_hdf5(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["AA:BB/raw/channel_1"]
        file["AA:BB/raw/channel_1"] = h5py.ExternalLink(str(secret), "/x")
    with pytest.raises(RecordingError, match="refused"):
        read(path)
    with h5py.File(path, "a") as file:
        del file["AA:BB/raw/channel_1"]
        file["AA:BB/raw"].create_dataset("channel_1", (10**12, 1), "u2", chunks=(1024, 1))
    with pytest.raises(RecordingError, match="claims"):
        read(path)
    with h5py.File(path, "a") as file:
        file["link"] = h5py.SoftLink("/AA:BB")
        file.move("AA:BB", "x/AA:BB")
    assert not sniff(path)


@pytest.mark.parametrize(
    ("at", "value"),
    [(8, 2**40), (8, 0), (16 + 8, 2**30)],
    ids=["heap too large", "heap of nothing", "object too large"],
)
def test_a_damaged_text_heap_is_refused(tmp_path, at, value):
    # The HDF5 library would loop for ever on some of these.
    path = write_hdf5(tmp_path / "a.h5")
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL\x01")
    data[heap + at : heap + at + 8] = value.to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="text heap"):
        read(path)


def test_free_space_of_no_size_in_a_text_heap(tmp_path):
    path = write_hdf5(tmp_path / "a.h5")
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL\x01")
    data[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="text heap"):
        read(path)


def test_other_hdf5_files_are_not_claimed(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "physio-hqc/session"
        file["streams/ecg/samples"] = np.arange(5)
    assert not sniff(path)
    with pytest.raises(RecordingError, match="not an OpenSignals"):
        read(path)


# ---- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampling rate": 0}, "rate"),
        ({"sampling rate": 1e12}, "rate"),
        ({"sampling rate": "fast"}, "rate"),
        ({"column": "nSeq"}, "no columns"),
        ({"column": ["nSeq", "A1"]}, "names 2 columns, the first row has 7"),
        ({"column": ["nSeq", "I1", "I2", "O1", "O2", "D1", "D2"], "label": []}, "no analog"),
    ],
)
def test_damaged_headers(tmp_path, changes, said):
    with pytest.raises(RecordingError, match=said):
        read(bitalino(tmp_path / "a.txt", range(3), **changes))


def test_a_row_that_is_no_row_is_named(tmp_path):
    path = bitalino(tmp_path / "a.txt", range(5))
    lines = path.read_text().splitlines()
    lines[5] = lines[5].replace("512", "five", 1)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordingError, match="line 6 is not 7 numbers"):
        read(path)


def test_a_row_cut_short_is_left_out(tmp_path):
    path = bitalino(tmp_path / "a.txt", range(5), a2=[511, 512, 513, 514, 515])
    path.write_bytes(path.read_bytes()[:-8])
    recording = read(path)
    assert recording.channels[0].segments[0].samples.tolist() == [511, 512, 513, 514]
    assert any("cut short" in note for note in recording.notes)


def test_deep_json_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(f'# OpenSignals\n# {{"a": {"[" * 5000}{"]" * 5000}}}\n# EndOfHeader\n1\n')
    with pytest.raises(RecordingError, match="deep"):
        read(path)


def test_what_is_no_opensignals_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("time,ecg\n0,1\n")
    assert not sniff(path)
    assert not sniff(tmp_path)
    with pytest.raises(RecordingError, match="not an OpenSignals"):
        read(path)
    with pytest.raises(RecordingError, match="no such"):
        read(tmp_path / "none")


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1), drop=st.integers(0, 40), junk=st.binary(max_size=20))
def test_any_text_content_is_read_or_refused(tmp_path, at, drop, junk):
    data = bitalino(tmp_path / "a.txt", range(6)).read_bytes()
    cut = int(at * len(data))
    path = tmp_path / "b.txt"
    path.write_bytes(data[:cut] + junk + data[cut + drop :])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sniff(path)
        said = ""
        try:
            read(path)
        except PhysioError as error:
            said = str(error)
    assert "\n" not in said


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.floats(0, 1))
def test_a_truncated_hdf5_file_is_refused(tmp_path, size):
    data = write_hdf5(tmp_path / "a.h5").read_bytes()
    path = tmp_path / "b.h5"
    path.write_bytes(data[: int(size * (len(data) - 1))])
    sniff(path)
    with pytest.raises(PhysioError):
        read(path)


# ---- as other versions of the program write ------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 7, 8, 12, 15, 16])
def test_a_counter_that_starts_again_has_lost_nothing(tmp_path, bits):
    round_ = 1 << bits
    sequence = (np.arange(2 * round_ + 10) + round_ - 5) % round_
    rows = [(s, 0, 1, 2) for s in sequence]
    ecg, _ = read(write_text(tmp_path / "a.txt", {"AA": PLUX}, rows)).channels
    assert [len(part.samples) for part in ecg.segments] == [len(sequence)]


def test_a_loss_is_seen_in_a_counter_of_15_bits(tmp_path):
    sequence = np.delete(np.arange(40_000) % 32_768, slice(35_000, 35_003))
    rows = [(s, 0, 1, 2) for s in sequence]
    ecg, _ = read(write_text(tmp_path / "a.txt", {"AA": PLUX}, rows)).channels
    assert [part.t_start for part in ecg.segments] == [0, 35.003]


def test_an_early_header_names_no_columns(tmp_path):
    entry = {
        "sensor": ["PZT"],
        "channels": [1],
        "label": ["CH1"],
        "sampling rate": 1000,
        "resolution": 12,
        "device": "bioplux",
        "date": "2015-4-27",
        "time": "17:53:44.456",
    }
    rows = [(i % 128, 2000 + i) for i in range(300)]
    (channel,) = read(write_text(tmp_path / "a.txt", {"AA": entry}, rows)).channels
    assert (channel.name, channel.sfreq, channel.modality) == ("CH1", 1000, "resp")
    assert [part.samples.tolist() for part in channel.segments] == [list(range(2000, 2300))]
    rows = [(i % 128, 0, 1, 2000 + i) for i in range(300)]
    recording = read(write_text(tmp_path / "b.txt", {"AA": entry}, rows))
    assert [c.name for c in recording.channels] == ["CH1"]


@pytest.mark.parametrize(
    ("sensor", "modality", "units"),
    [
        ("EDABITREV", "eda", "µS"),
        ("ECGBITREV", "ecg", "mV"),
        ("RESPIRATION", "resp", "raw"),
        ("BVP", "ppg", "raw"),
        ("PPGBIT", "ppg", "raw"),
        ("EMG", None, "raw"),
    ],
)
def test_sensor_names(tmp_path, sensor, modality, units):
    channel, _ = read(bitalino(tmp_path / "a.txt", range(4), sensor=[sensor, "RAW"])).channels
    assert (channel.modality, channel.units) == (modality, units)


@pytest.mark.parametrize(
    ("firmware", "value"), [("5.1", 12.5), (1281, 12.5), ("4.2", 2.0), (1026, 2.0), (None, 2.0)]
)
def test_the_firmware_tells_the_generation_of_a_bitalino(tmp_path, firmware, value):
    changes = {} if firmware is None else {"firmware version": firmware}
    path = bitalino(tmp_path / "a.txt", range(3), a3=512, device="bitalino", **changes)
    _, eda = read(path).channels
    np.testing.assert_allclose(physical(eda)[0], value)
