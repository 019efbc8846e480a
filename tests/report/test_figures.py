"""Figures show the data that they were given."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from physio_hqc.report import figures
from physio_hqc.report.figures.signals import shown_streams
from physio_hqc.session import open_session


def lines(axis):
    """Lines of a panel by their label."""
    return {line.get_label(): line for line in axis.get_lines()}


def longest(axis):
    """Return the line of the data, which has the most points."""
    return max(axis.get_lines(), key=lambda line: len(line.get_xdata()))


def draw(figure: Figure) -> None:
    """Render, so that a mistake that only drawing reveals is found."""
    from io import BytesIO

    assert isinstance(figure, Figure)
    figure.savefig(BytesIO(), format="rgba")


@pytest.fixture
def session(write_session):
    """Return an open session with a gap in its ECG from 100 to 130 s."""
    with open_session(write_session(gap=True)) as opened:
        yield opened


def test_signals_panels_share_time_and_show_every_extreme(session, windows_of):
    figure = figures.signals_figure(session, windows_of(), max_points=400)
    streams = shown_streams(session)
    assert [s.name for s in streams] == ["ecg", "bp", "eda", "resp"]
    panels = figure.axes[1:]
    assert len(panels) == len(streams)
    for axis, stream in zip(panels, streams, strict=True):
        line = longest(axis)
        assert len(line.get_xdata()) <= 402
        assert line.get_xdata().min() >= 0
        assert line.get_xdata().max() * 60 <= 240
        assert np.nanmax(line.get_ydata()) == pytest.approx(stream.samples.max())
        assert np.nanmin(line.get_ydata()) == pytest.approx(stream.samples.min())
        assert axis.get_xlim() == (0, pytest.approx(session.duration / 60))
        assert stream.units in axis.get_ylabel()
    assert panels[-1].get_xlabel() == "Time since start of the session (min)"
    draw(figure)


def test_signals_leave_gaps_open_and_name_them(session, windows_of):
    figure = figures.signals_figure(session, windows_of(), max_points=400)
    ecg = figure.axes[1]
    line = longest(ecg)
    inside = (line.get_xdata() * 60 > 101) & (line.get_xdata() * 60 < 129)
    assert inside.any()
    assert np.isnan(line.get_ydata()[inside]).all()
    assert any("1 gap, 30 s" in text.get_text() for text in ecg.texts)


def test_cuff_readings_stand_over_the_pressure(session, windows_of):
    figure = figures.signals_figure(session, windows_of())
    found = lines(figure.axes[2])
    assert list(found["cuff SBP"].get_ydata()) == [120, 128, 140]
    assert list(found["cuff DBP"].get_ydata()) == [80, 84, 90]
    np.testing.assert_allclose(found["cuff SBP"].get_xdata() * 60, [30, 90, 150])


def test_events_are_named(session, windows_of):
    figure = figures.signals_figure(session, windows_of())
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"door", "participant coughs", "baseline", "recovery"} <= set(texts)


def test_dollar_signs_are_not_mathematics(write_session, windows_of):
    label = r"$\frac{1}{$ & \n"
    with open_session(write_session(label=label)) as session:
        draw(figures.signals_figure(session, windows_of(label=label)))


def test_a_phase_far_outside_of_the_session_has_no_name(session, windows_of):
    windows = windows_of()
    windows.loc[windows["kind"] == "phase", "onset"] = -1e9
    draw(figures.signals_figure(session, windows, max_points=400))


@pytest.mark.parametrize("onset", [-1e9, 1e9])
def test_an_event_far_outside_of_the_session_has_no_name(write_session, windows_of, onset):
    path = write_session()
    with h5py.File(path, "r+") as file:
        rows = file["events"][:]
        rows["onset"], rows["duration"] = onset, 0.0
        file["events"][:] = rows
    with open_session(path) as session:
        vars(session)["duration"] = 240.0
        draw(figures.signals_figure(session, windows_of()))


def test_phase_spans_lie_in_the_middle_of_phases(windows_of):
    spans = figures.phase_spans(windows_of(), 240.0, length_s=10.0)
    assert [(title, start, stop) for title, _, start, stop in spans] == [
        ("baseline", 25.0, 35.0),
        ("preparation", 85.0, 95.0),
        ("speech", 145.0, 155.0),
        ("recovery", 205.0, 215.0),
    ]
    assert len(figures.phase_spans(windows_of(), 240.0, most=2)) == 2
    assert figures.phase_spans(windows_of(), 240.0, most=0) == []


@pytest.mark.parametrize(("duration", "count"), [(240.0, 3), (8.0, 1), (0.0, 1)])
def test_phase_spans_without_phases(windows_of, duration, count):
    spans = figures.phase_spans(windows_of().iloc[:0], duration)
    assert len(spans) == count
    assert all(0 <= start <= stop <= duration for _, _, start, stop in spans)


def test_correction_spans_show_every_kind_first(session, make_result):
    beats = make_result(session.path).tables["beats"]
    spans = figures.correction_spans(beats, 240.0, length_s=10.0)
    assert len(spans) == 4
    starts = np.array([start for _, _, start, _ in spans])
    stops = np.array([stop for _, _, _, stop in spans])
    corrected = beats.loc[beats["kind"] != "normal", "time_s"].to_numpy()
    assert all(((starts <= t) & (t < stops)).any() for t in corrected)
    assert figures.correction_spans(beats[beats["kind"] == "normal"], 240.0) == []


def test_ecg_strip_shows_samples_and_peaks_of_its_span_only(session, make_result):
    beats = make_result(session.path).tables["beats"]
    figure = figures.ecg_strips_figure(session.streams["ecg"], beats, [("rest", "", 28.0, 38.0)])
    trace, normal = figure.axes[0].get_lines()[:2]
    times, values = session.streams["ecg"].read(28.0, 38.0)
    np.testing.assert_array_equal(trace.get_xdata(), times)
    np.testing.assert_array_equal(trace.get_ydata(), values)
    inside = beats[(beats["time_s"] >= 28) & (beats["time_s"] < 38)]
    np.testing.assert_array_equal(
        normal.get_xdata(), inside.loc[inside["kind"] == "normal", "time_s"]
    )
    corrected = [line for line in figure.axes[0].get_lines()[2:] if len(line.get_xdata())]
    assert sorted(x for line in corrected for x in line.get_xdata()) == pytest.approx([32.5, 33.3])
    assert len({line.get_color() for line in corrected}) == 2
    draw(figure)


def test_ecg_strip_in_a_gap_says_so(session, make_result):
    beats = make_result(session.path).tables["beats"]
    figure = figures.ecg_strips_figure(session.streams["ecg"], beats, [("x", "", 105.0, 115.0)])
    assert any(text.get_text() == "no signal" for text in figure.axes[0].texts)
    draw(figure)


def test_tachogram_marks_corrected_beats_by_kind(session, make_result, windows_of):
    beats = make_result(session.path).tables["beats"]
    figure = figures.tachogram_figure(beats, windows_of(), 240.0)
    axis = figure.axes[0]
    shown = longest(axis)
    np.testing.assert_allclose(shown.get_xdata() * 60, beats["time_s"])
    np.testing.assert_allclose(shown.get_ydata(), 1000 * beats["rr_s"])
    marked = {name.split(":")[0]: line for name, line in lines(axis).items() if ":" in name}
    assert set(marked) == {"ectopic", "long", "missed", "extra", "short"}
    assert marked["missed"].get_xdata() * 60 == pytest.approx([100 * 0.8 + 0.5])
    draw(figure)


def test_heart_rate_axis_agrees_with_the_intervals(session, make_result, windows_of):
    beats = make_result(session.path).tables["beats"].assign(rr_s=lambda t: t["time_s"] % 0.5 + 0.5)
    axis = figures.tachogram_figure(beats, windows_of(), 240.0).axes[0]
    right = axis.child_axes[0]
    low, high = axis.get_ylim()
    for rate in right.get_yticks():
        assert low <= 60000 / rate <= high


def test_pressure_shows_valid_beats_and_marks_the_others(session, make_result, windows_of):
    result = make_result(session.path)
    cuff = pd.DataFrame({"time_s": [30.0], "SBP": [121.0], "DBP": [79.0]})
    figure = figures.pressure_figure(result.tables["pressure_beats"], cuff, windows_of(), 240.0)
    found = lines(figure.axes[0])
    sbp = found["SBP"].get_ydata()
    assert np.isnan(sbp[10])
    assert (np.delete(sbp, 10) == 120.0).all()
    crossed = found["invalid beat (1)"].get_xdata() * 60
    assert crossed == pytest.approx([result.tables["pressure_beats"]["systole_s"][10]])
    assert list(found["cuff DBP"].get_ydata()) == [79.0]
    draw(figure)


def test_pressure_strip_puts_markers_on_the_waveform(session, make_result):
    beats = make_result(session.path).tables["pressure_beats"]
    stream = session.streams["bp"]
    figure = figures.pressure_strips_figure(stream, beats, [("x", "task", 4.0, 12.0)])
    found = lines(figure.axes[0])
    times, values = stream.read(4.0, 12.0)
    for label in ("systole", "foot (start of the beat)", "systole, invalid beat"):
        line = found[label]
        np.testing.assert_allclose(line.get_ydata(), np.interp(line.get_xdata(), times, values))
    assert found["systole, invalid beat"].get_xdata() == pytest.approx([8.5])
    draw(figure)


def test_eda_shows_three_traces_and_every_response(session, make_result, windows_of):
    result = make_result(session.path)
    trace = result.traces["eda"]
    figure = figures.eda_figure(trace, result.tables["scr"], windows_of(), 240.0)
    upper, lower = (lines(axis) for axis in figure.axes)
    np.testing.assert_allclose(upper["skin conductance"].get_ydata(), trace["eda"])
    np.testing.assert_allclose(upper["tonic level"].get_ydata(), trace["tonic"])
    np.testing.assert_allclose(lower["SCR peak (3)"].get_xdata() * 60, [11.5, 71.5, 131.5])
    draw(figure)


def test_quality_grid_holds_the_numbers(session, make_result, windows_of):
    quality = make_result(session.path).tables["quality"]
    figure = figures.quality_figure(quality, windows_of(n_sliding=20), 240.0)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("72") == 1
    assert set(texts) == {"72", "100"}
    assert len(texts) == 4 * 6
    draw(figure)


def test_reactivity_bars_are_the_deltas(session, make_result, windows_of):
    reactivity = make_result(session.path).tables["reactivity"]
    figure = figures.reactivity_figure(reactivity, windows_of())
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[0] == "Δ Heart rate (1/min)"
    rows = reactivity[reactivity["feature"] == "ECG_Rate_Mean"].set_index("window")
    expected = rows.loc[["preparation", "speech", "recovery"], "delta"]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == pytest.approx(list(expected))
    hf = figure.axes[titles.index("Δ ln HF power (ln(ms²))")]
    assert [text.get_text().endswith("†") for text in hf.texts] == [False, True, False]
    draw(figure)


def test_sliding_points_stand_in_the_middle_of_their_window(session, make_result, windows_of):
    features = make_result(session.path, n_sliding=20).tables["features"]
    figure = figures.sliding_figure(features, windows_of(n_sliding=20), 240.0)
    rows = features[(features["kind"] == "sliding") & (features["feature"] == "ECG_Rate_Mean")]
    line = longest(figure.axes[0])
    np.testing.assert_allclose(line.get_xdata() * 60, rows["onset"] + rows["duration"] / 2)
    np.testing.assert_allclose(line.get_ydata(), rows["value"])
    assert figures.sliding_figure(features.iloc[:0], windows_of(), 240.0) is None
    draw(figure)
