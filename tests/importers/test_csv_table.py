import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers import read_recording
from physio_hqc.importers.csv_table import read, sniff


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def table(header: str, *columns, digits: int = 3) -> str:
    rows = zip(*columns, strict=True)
    lines = [",".join(f"{value:.{digits}f}" for value in row) for row in rows]
    return "\n".join([header, *lines]) + "\n"


# ---- cells and separators ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "time [s],ECG [mV],resp\n0.00,1.5,3\n0.25,-2.5,4\n0.50,1e-3,5\n",
        "time [s]\tECG [mV]\tresp\n0.00\t1.5\t3\n0.25\t-2.5\t4\n0.50\t1e-3\t5\n",
        "time [s];ECG [mV];resp\n0.00;1.5;3\n0.25;-2.5;4\n0.50;1e-3;5\n",
        "time [s];ECG [mV];resp\n0,00;1,5;3\n0,25;-2,5;4\n0,50;1,0e-3;5\n",
        "time (s),ECG (mV),resp,\r\n0.00,1.5,3,\r\n0.25,-2.5,4,\r\n0.50,1e-3,5,\r\n\r\n",
        '# made by hand\n\n"time [s]","ECG [mV]","resp"\n0.00, 1.5, 3\n0.25,-2.5, 4\n0.50,1e-3, 5',
        "\ufeffseconds,ECG [mV],resp\n0.00,1.5,3\n0.25,-2.5,4\n0.50,1e-3,5\n",
        "time_ms,ECG [mV],resp\n0,1.5,3\n250,-2.5,4\n500,1e-3,5\n",
    ],
    ids=["comma", "tab", "semicolon", "decimal comma", "trailing", "comment", "bom", "ms"],
)
def test_all_ways_to_write_one_table(tmp_path, text):
    path = write(tmp_path / "a.csv", text)
    assert sniff(path)
    ecg, resp = read(path).channels
    assert (ecg.name, ecg.units, ecg.sfreq) == ("ECG", "mV", 4.0)
    assert (resp.name, resp.units, resp.sfreq) == ("resp", "", 4.0)
    assert ecg.segments[0].samples.tolist() == [1.5, -2.5, 1e-3]
    assert resp.segments[0].samples.tolist() == [3, 4, 5]


def test_whole_numbers_stay_whole(tmp_path):
    path = write(tmp_path / "a.csv", "# sfreq: 5\nx,y\n1,0.5\n9007199254740993,1\n")
    x, y = (channel.segments[0].samples for channel in read(path).channels)
    assert (x.dtype, y.dtype) == (np.int64, np.float64)
    assert x.tolist() == [1, 9007199254740993]


def test_latin_1_micro_sign(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("time [s],EDA [µS]\n0,1\n1,2\n".encode("latin-1"))
    assert read(path).channels[0].units == "µS"


def test_missing_and_infinite_cells(tmp_path):
    path = write(tmp_path / "a.csv", "t [s],a,b\n0,1,\n1,,inf\n2,3,5\n3,NaN,6\n")
    recording = read(path)
    a, b = (c.segments[0].samples for c in recording.channels)
    np.testing.assert_array_equal(a, [1, np.nan, 3, np.nan])
    np.testing.assert_array_equal(b, [np.nan, np.nan, 5, 6])
    assert any("1 infinite" in note for note in recording.notes)


def test_names_are_made_unique(tmp_path):
    path = write(tmp_path / "a.csv", "t [s],a,a,,b [V]\n0,1,2,3,4\n1,1,2,3,4\n")
    assert [c.name for c in read(path).channels] == ["a", "a 2", "column 4", "b"]


# ---- time ----------------------------------------------------------------------------------------


def test_rate_from_a_comment(tmp_path):
    path = write(tmp_path / "a.csv", "# sfreq: 250 Hz\nECG [mV]\n1\n2\n3\n")
    (channel,) = read(path).channels
    assert channel.sfreq == 250
    assert (channel.segments[0].t_start, len(channel.segments[0].samples)) == (0, 3)


def test_no_rate_says_how_to_give_one(tmp_path):
    with pytest.raises(RecordingError, match=r"time \[s\].*# sfreq: 250"):
        read(write(tmp_path / "a.csv", "ECG [mV]\n1\n2\n3\n"))


@pytest.mark.parametrize("rate", [130.273, 256, 1000, 3.90625, 1 / 60, 4])
def test_rate_of_a_rounded_time_column(tmp_path, rate):
    # Milliseconds are too coarse for 256 Hz: the median interval would say 250 Hz.
    t = np.arange(5000) / rate
    (channel,) = read(write(tmp_path / "a.csv", table("time [s],x", t, t))).channels
    assert channel.sfreq == pytest.approx(rate, rel=1e-6)
    assert len(channel.segments) == 1
    assert channel.segments[0].t_start == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("rate", "lost"), [(250, 1), (250, 500), (4, 1), (4, 480), (1000, 3)])
def test_a_gap_splits(tmp_path, rate, lost):
    t = np.concatenate([np.arange(300), np.arange(300 + lost, 900)]) / rate
    (channel,) = read(write(tmp_path / "a.csv", table("time [s],x", t, t, digits=6))).channels
    assert channel.sfreq == rate
    assert [len(s.samples) for s in channel.segments] == [300, 600 - lost]
    assert channel.segments[1].t_start == pytest.approx((300 + lost) / rate, abs=1e-6)


def test_stamps_taken_on_arrival_are_jitter(tmp_path):
    rng = np.random.default_rng(3)
    t = np.sort(np.arange(2000) / 100 + rng.uniform(0, 0.015, 2000))
    (channel,) = read(write(tmp_path / "a.csv", table("time [s],x", t, t, digits=6))).channels
    assert len(channel.segments) == 1
    assert channel.sfreq == pytest.approx(100, rel=1e-3)


def test_uneven_rows_keep_their_times(tmp_path):
    rng = np.random.default_rng(4)
    t = np.cumsum(rng.normal(0.8, 0.05, 300))
    recording = read(write(tmp_path / "a.csv", table("time [s],heart rate", t, t)))
    (channel,) = recording.channels
    assert channel.sfreq == 0
    np.testing.assert_array_equal(channel.times, np.round(t, 3))
    assert any("not evenly spaced" in note for note in recording.notes)


def test_beat_intervals_are_irregular_even_when_even(tmp_path):
    path = write(tmp_path / "a.csv", "time [s],RR [s],EDA [uS]\n1,1,5\n2,1,5\n3,,5\n4,1,5\n")
    rr, eda = read(path).channels
    assert (rr.sfreq, rr.times.tolist(), rr.segments[0].samples.tolist()) == (
        0,
        [1, 2, 4],
        [1, 1, 1],
    )
    assert (eda.sfreq, eda.segments[0].t_start) == (1, 1)


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("timestamp", 1),
        ("time [s]", 1),
        ("timestamp", 10**3),
        ("unix_time_ms", 10**3),
        ("timestamp", 10**9),
        ("epoch [ns]", 10**9),
    ],
)
def test_unix_times_set_the_wall_clock(tmp_path, header, factor):
    start = 1_773_497_366
    text = f"{header},x\n" + "".join(f"{(start + i) * factor},{i}\n" for i in range(5))
    recording = read(write(tmp_path / "a.csv", text))
    assert recording.t0_unix_ns == start * 10**9
    (channel,) = recording.channels
    assert (channel.sfreq, channel.segments[0].t_start) == (1, 0)
    assert recording.notes == ()


@pytest.mark.parametrize(
    ("zone", "hour", "noted"), [("Z", 15, False), ("+01:00", 14, False), ("", 15, True)]
)
def test_iso_times(tmp_path, zone, hour, noted):
    text = "timestamp,x\n" + "".join(
        f"2026-03-14T15:09:{26 + i // 4:02d}.{i % 4 * 25:02d}0{zone},{i}\n" for i in range(12)
    )
    path = write(tmp_path / "a.csv", text)
    assert sniff(path)
    recording = read(path)
    expected = datetime(2026, 3, 14, hour, 9, 26, tzinfo=UTC)
    assert recording.t0_unix_ns == int(expected.timestamp()) * 10**9
    assert recording.channels[0].sfreq == 4
    assert any("UTC" in note for note in recording.notes) == noted


def test_hours_minutes_seconds(tmp_path):
    text = "time,x\n" + "".join(f"00:01:{i:02d}.500,{i}\n" for i in range(5))
    (channel,) = read(write(tmp_path / "a.csv", text)).channels
    assert (channel.sfreq, channel.segments[0].t_start) == (1, 60.5)


def test_time_without_unit_is_told(tmp_path):
    recording = read(write(tmp_path / "a.csv", "time,x\n0,1\n4,1\n8,1\n"))
    assert recording.channels[0].sfreq == 0.25
    assert any("no unit" in note for note in recording.notes)


def test_negative_start_becomes_second_zero(tmp_path):
    recording = read(write(tmp_path / "a.csv", "time [s],x\n-2,1\n-1,1\n0,1\n"))
    assert recording.channels[0].segments[0].t_start == 0
    assert any("starts at -2 s" in note for note in recording.notes)


def test_shared_monitor_readings(shared_data):
    path = shared_data / "abp" / "3975656_0013_numerics.csv"
    expected = pd.read_csv(path)
    found = {c.name: c for c in read(path).channels}
    assert set(found) == {"SBP", "DBP", "MAP", "HR", "usable"}
    assert found["SBP"].sfreq == pytest.approx(1 / 60)
    np.testing.assert_array_equal(found["SBP"].segments[0].samples, expected["SBP"])


# ---- markers -------------------------------------------------------------------------------------


def test_a_mostly_empty_text_column_holds_markers(tmp_path):
    text = "time [s],ECG [mV],note\n0,1,\n1,2,start speech\n2,3,\n3,4,2\n4,5,\n5,6,Ende ä\n6,7,\n"
    recording = read(write(tmp_path / "a.csv", text))
    assert [(m.onset, m.label) for m in recording.markers] == [
        (1, "start speech"),
        (3, "2"),
        (5, "Ende ä"),
    ]
    assert [c.name for c in recording.channels] == ["ECG"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time [s],ECG\n0,1\n1,x1\n2,3\n", "line 3, column 'ECG': 'x1' is no number"),
        ("# c\n\ntime [s],ECG\n0,1\n1,2\n2,?\n", "line 6, column 'ECG'"),
        ("time [s],ECG\n0,1\n1,2,3\n", "line 3 has 3 cells"),
        ("time [s],ECG\n0,1,9\n1,2,3\n", "line 2 has more cells"),
        ("time [s],ECG\n0,1\n,2\n", "line 3 has no time"),
        ("time [s],ECG\n0,1\nnoon,2\n", "line 2, column 'time'"),
        ("time [s],ECG\n0,1\n2,1\n1,2\n", "line 4: time runs back"),
        ("time [s],ECG\n1,1\n1,1\n", "does not advance"),
        ("time [s],ECG\n0,1\ninf,1\n", "not a finite number"),
        ("time [s],ECG\n0,1\n1e-9,1\n2e-9,1\n", "above 1e\\+06 Hz"),
        ("time [s],ECG\n1e15,1\n2e15,1\n", "2286"),
        ("time [days],ECG\n0,1\n1,1\n", "'days'"),
        ("0.0,1\n0.1,2\n", "no header row"),
        ("# sfreq: fast\nECG\n1\n", "no rate in Hz|no time column"),
        ("# sfreq: 0\nECG\n1\n", "no rate in Hz"),
        ("# sfreq: 1e12\nECG\n1\n", "no rate in Hz"),
        ("time [s],ECG\n", "no rows"),
        ("time [s],ECG\n\n\n", "no rows"),
        ("# nothing\n", "no table"),
        ("", "empty"),
        ("time [s],ECG\n0,\n1,\n", "no column but time"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, said):
    with pytest.raises(RecordingError, match=said):
        read(write(tmp_path / "a.csv", text))


def test_what_is_no_table(tmp_path, shared_data):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\x00\x01\x02" * 100)
    assert not sniff(path)
    with pytest.raises(RecordingError, match="binary"):
        read(path)
    with pytest.raises(RecordingError, match="no such"):
        read(tmp_path / "none.csv")
    assert not sniff(tmp_path)
    for name in (
        "mitbih/101.hea",
        "mitbih/101.dat",
        "formats/empatica_e4/EDA.csv",
        "formats/empatica_e4/IBI.csv",
        "formats/opensignals/OSmontage1A.txt",
        "formats/edf/supine_1min.edf",
    ):
        assert not sniff(shared_data / name), name


# ---- properties ----------------------------------------------------------------------------------

FLOATS = st.floats(allow_nan=True, allow_infinity=False, width=64)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(FLOATS, st.integers(-(2**53), 2**53)), min_size=2, max_size=30),
    style=st.sampled_from([(",", "."), (";", ","), ("\t", "."), (";", ".")]),
)
def test_round_trip(tmp_path, rows, style):
    separator, decimal = style
    path = tmp_path / "a.csv"
    frame = pd.DataFrame(rows, columns=["x", "n"])
    frame.insert(0, "time [s]", np.arange(len(rows)) / 8)
    frame.to_csv(path, sep=separator, decimal=decimal, index=False)
    found = {c.name: c for c in read(path).channels}
    if not frame["x"].isna().all():
        np.testing.assert_array_equal(found["x"].segments[0].samples, frame["x"])
    np.testing.assert_array_equal(found["n"].segments[0].samples, frame["n"])
    assert found["n"].sfreq == 8


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from([b"", b"time [s],x\n", b"t,x\n0,1\n1,2\n", b"# sfreq: 5\nx\n"]),
    rest=st.one_of(
        st.binary(max_size=80),
        st.text("0123456789.,;-+eE\t\n\"'# xinfa:TZ", max_size=80).map(str.encode),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "ignore")),
    ),
)
def test_any_content_is_read_or_refused(tmp_path, start, rest):
    path = tmp_path / "a.csv"
    path.write_bytes(start + rest)
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sniff(path)
        try:
            read(path)
        except PhysioError as error:
            said = str(error)
    assert "\n" not in said


# ---- as other programs write their tables --------------------------------------------------------


def test_channels_filled_in_every_nth_row_keep_their_own_rates(tmp_path):
    rows = ["time (s),EDA (uS),ECG (mV),RESP (V)"]
    for i in range(24):
        slow = f"{i}" if i % 8 == 3 else ""
        rows.append(f"{i / 200:.3f},{i},{i if i % 2 == 0 else 'nan'},{slow}")
    eda, ecg, resp = read(write(tmp_path / "a.csv", "\n".join(rows) + "\n")).channels
    assert [c.sfreq for c in (eda, ecg, resp)] == [200, 100, 25]
    assert ecg.segments[0].samples.tolist() == list(range(0, 24, 2))
    assert resp.segments[0].samples.tolist() == [3, 11, 19]
    assert resp.segments[0].t_start == pytest.approx(0.015)


def test_a_row_of_units_below_the_names(tmp_path):
    body = "".join(f"{i * 8}\t{i}\t{2 * i}\t\n" for i in range(5))
    text = f'"sep=\t"\nDev_Timestamp_CAL\tDev_GSR_CAL\tDev_PPG\t\nms\tuS\tmV\t\n{body}'
    gsr, ppg = read(write(tmp_path / "a.csv", text)).channels
    assert [(c.name, c.units, c.sfreq) for c in (gsr, ppg)] == [
        ("Dev_GSR_CAL", "uS", 125),
        ("Dev_PPG", "mV", 125),
    ]
    assert gsr.segments[0].samples.tolist() == [0, 1, 2, 3, 4]


def test_single_quotes_and_minutes_as_physionet_tools_write_them(tmp_path):
    body = "".join(f"'0:{i * 0.25:06.3f}',{i},-0.065\n" for i in range(5))
    text = f"'Elapsed time','MLII','V5'\n'hh:mm:ss.mmm','mV','mV'\n{body}"
    lead, _ = read(write(tmp_path / "a.csv", text)).channels
    assert (lead.name, lead.units, lead.sfreq) == ("MLII", "mV", 4)


def test_the_separator_line_of_a_spreadsheet(tmp_path):
    body = "".join(f"0,{25 * i:02d};1,5\n" for i in range(4))
    (ecg,) = read(write(tmp_path / "a.csv", f"sep=;\nZeit [s];EKG [mV]\n{body}")).channels
    assert (ecg.name, ecg.units, ecg.sfreq) == ("EKG", "mV", 4)
    assert ecg.segments[0].samples.tolist() == [1.5] * 4


def test_names_units_and_rate_in_comments(tmp_path):
    text = (
        "# Simple Text Format\n# Sampling Rate (Hz):= 100.00\n# Units:= m/s^2\n"
        "# Labels:= acc_x\tacc_y\n0.25\t-0.5\n0.5\t-1\n"
    )
    x, y = read(write(tmp_path / "a.txt", text)).channels
    assert (x.name, x.units, x.sfreq, y.name, y.units) == ("acc_x", "m/s^2", 100, "acc_y", "m/s^2")
    assert x.segments[0].samples.tolist() == [0.25, 0.5]


def test_stamps_of_several_clocks(tmp_path):
    epoch_2000 = 599_616_000_000_000_000
    rows = [
        f"2023-01-05T10:00:01.500;{epoch_2000 + i * 7_692_308};{i * 7.692308:.6f};{i}"
        for i in range(100)
    ]
    header = "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]"
    recording = read(write(tmp_path / "a.txt", "\n".join([header, *rows]) + "\n"))
    (ecg,) = recording.channels
    assert (ecg.name, ecg.units, ecg.sfreq) == ("ecg", "uV", pytest.approx(130, rel=1e-6))
    expected = datetime(2023, 1, 5, 10, 0, 1, 500_000, tzinfo=UTC).timestamp() * 1e9
    assert recording.t0_unix_ns == expected
    # Without the other two, the sensor's clock still spaces the rows, but tells no date.
    rows = [f"{epoch_2000 + i * 5_000_000};{i}" for i in range(100)]
    text = "\n".join(["sensor timestamp [ns];X [mg]", *rows]) + "\n"
    recording = read(write(tmp_path / "b.txt", text))
    assert (recording.channels[0].sfreq, recording.t0_unix_ns) == (200, None)


def test_a_date_beside_the_time_of_day(tmp_path):
    body = "".join(f"2023-01-05,23:59:{58 + i / 4:06.3f},{i}\n" for i in range(8))
    body += "".join(f"2023-01-06,00:00:{i / 4:06.3f},{8 + i}\n" for i in range(8))
    recording = read(write(tmp_path / "a.csv", f"Date,Time,EDA [uS]\n{body}"))
    (eda,) = recording.channels
    assert (eda.sfreq, len(eda.segments), eda.segments[0].t_start) == (4, 1, 0)
    assert recording.t0_unix_ns == datetime(2023, 1, 5, 23, 59, 58, tzinfo=UTC).timestamp() * 1e9


@pytest.mark.parametrize(("header", "value"), [("RR [ms]", 800), ("rr", 800), ("IBI", 0.8)])
def test_beat_intervals_alone_tell_their_time(tmp_path, header, value):
    (rr,) = read(write(tmp_path / "a.csv", f"{header}\n" + f"{value}\n" * 5)).channels
    assert (rr.sfreq, rr.units) == (0, "ms" if value == 800 else "s")
    np.testing.assert_allclose(rr.times, [0.8, 1.6, 2.4, 3.2, 4.0])


def test_intervals_of_no_known_unit_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="state its unit"):
        read(write(tmp_path / "a.csv", "rr\n" + "80000\n" * 5))


def test_row_numbers_of_a_data_frame_are_no_channel(tmp_path):
    text = "# sfreq: 10\n,ECG [mV]\n0,0.5\n1,0.6\n2,0.7\n"
    (ecg,) = read(write(tmp_path / "a.csv", text)).channels
    assert (ecg.name, ecg.segments[0].samples.tolist()) == ("ECG", [0.5, 0.6, 0.7])


def test_a_column_of_codes_also_gives_markers(tmp_path):
    codes = [0, 0, 3, 3, 0, 0, 7, 0]
    body = "".join(f"{i / 4},{i},{code}\n" for i, code in enumerate(codes))
    recording = read(write(tmp_path / "a.csv", f"time [s],ECG [mV],Trigger\n{body}"))
    assert [(m.onset, m.label) for m in recording.markers] == [(0.5, "3"), (1.5, "7")]
    assert [c.name for c in recording.channels] == ["ECG", "Trigger"]


@pytest.mark.parametrize("body", ["x\n", "a\nb\n", "\t\t\n", "-\n"])
def test_a_column_of_intervals_without_a_number_is_refused(tmp_path, body):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RecordingError):
            read(write(tmp_path / "a.csv", f"rr\n{body}"))


def test_a_rate_by_hand_serves_a_table_that_states_none(tmp_path: Path) -> None:
    table = tmp_path / "bare.csv"
    table.write_text("ECG [mV],EDA [uS]\n" + "".join(f"{i},{i / 2}\n" for i in range(40)))
    with pytest.raises(RecordingError, match="--sfreq"):
        read(table)
    channel = read(table, sfreq=50.0).channels[1]
    assert (channel.name, channel.sfreq) == ("EDA", 50.0)
    np.testing.assert_array_equal(channel.segments[0].samples, np.arange(40) / 2)
    table.write_text("# sfreq: 10\n" + table.read_text())
    assert read(table, sfreq=50.0).channels[0].sfreq == 10.0


def test_a_rate_by_hand_is_refused_where_the_file_knows(shared_data: Path) -> None:
    source = shared_data / "formats" / "edf" / "supine_1min.edf"
    with pytest.raises(RecordingError, match="tells its own rate"):
        read_recording(source, sfreq=100.0)
