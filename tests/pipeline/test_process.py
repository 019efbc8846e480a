"""A session end to end, compared with the truth that it was simulated from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import ConfigError, OutputError, PhysioError, SessionFileError
from physio_hqc.pipeline import (
    TABLES,
    PipelineConfig,
    is_up_to_date,
    load_result,
    process_session,
)
from physio_hqc.pipeline.parts import QUALITY_PARTS
from physio_hqc.pipeline.schema import COLUMNS
from physio_hqc.session import SessionWriter
from physio_hqc.simulate import Noise, simulate_session
from physio_hqc.simulate.waveforms import ecg_waveform

SHORT = 0.1


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A whole session without noise, and what processing it gave."""
    folder = tmp_path_factory.mktemp("clean")
    session = simulate_session(folder / "p01.h5", seed=6, noise=Noise.none(), cuff_error_mmhg=0.0)
    return session, process_session(session.path, out_dir=folder / "derivatives")


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    """A session of three minutes."""
    folder = tmp_path_factory.mktemp("brief")
    return simulate_session(folder / "p02.h5", seed=2, time_scale=SHORT, condition="alone")


def value_of(result, window, feature):
    table = result.tables["features"]
    found = table[(table["window"] == window) & (table["feature"] == feature)]
    assert len(found) == 1
    return found["value"].iloc[0]


def notices(result):
    return "\n".join(result.provenance["notices"])


# --- truth ---------------------------------------------------------------------------------------


def test_every_beat_is_found_and_nothing_else(clean):
    session, result = clean
    beats = result.tables["beats"]
    truth, found = session.truth.beat_times_s, beats["time_s"].to_numpy()
    assert result.provenance["stages"]["heart"]["n_detected"] == len(truth)
    apart = np.abs(found[:, None] - truth)
    # To 10 ms where detected; correction may move a true beat a little, hardly ever.
    assert np.quantile(apart.min(axis=0), 0.995) < 0.01
    assert apart.min(axis=0).max() < 0.05
    assert (apart.min(axis=1) > 0.05).mean() < 0.001
    assert set(beats["source"]) == {"ecg"}


def test_features_agree_with_the_truth_of_every_phase(clean):
    session, result = clean
    for phase in session.truth.phases:
        assert 60_000 / value_of(result, phase.name, "HRV_MeanNN") == pytest.approx(
            phase.hr, rel=0.03
        )
        rmssd = value_of(result, phase.name, "HRV_RMSSD")
        assert rmssd == pytest.approx(phase.rmssd, rel=0.03)
        assert value_of(result, phase.name, "BP_SBP_Mean") == pytest.approx(phase.sbp, abs=2)
        assert value_of(result, phase.name, "BP_DBP_Mean") == pytest.approx(phase.dbp, abs=2)
        assert value_of(result, phase.name, "BP_MAP_Mean") == pytest.approx(phase.map, abs=2)
        assert value_of(result, phase.name, "BRS_Sequence") == pytest.approx(phase.brs, rel=0.15)
        assert value_of(result, phase.name, "EDA_Tonic_Mean") == pytest.approx(phase.scl, rel=0.1)
    found = len(result.tables["scr"])
    assert found == pytest.approx(len(session.truth.scr_onset_s), rel=0.1)


def test_the_transfer_function_counts_what_is_coherent(clean):
    session, result = clean
    config = PipelineConfig.model_validate(
        {"pressure": {"brs_min_coherence": 0.999}, "windows": {"phase_last": []}}
    )
    strict = process_session(session.path, config)
    phases = [phase.name for phase in session.truth.phases if phase.offset - phase.onset > 300]
    usual = np.array([value_of(result, name, "BRS_TF_LF_Share") for name in phases])
    least = np.array([value_of(strict, name, "BRS_TF_LF_Share") for name in phases])
    assert (usual > 0).all()
    assert (least < usual).all()


def test_cuff_means_are_the_means_of_the_readings(clean):
    session, result = clean
    truth = session.truth
    for phase in truth.phases:
        inside = (truth.cuff_times_s >= phase.onset) & (truth.cuff_times_s < phase.offset)
        means = truth.cuff[inside].mean(axis=0)
        for column, name in enumerate(("SBP", "DBP", "MAP", "HR")):
            found = value_of(result, phase.name, f"CUFF_{name}_Mean")
            assert found == pytest.approx(means[column], abs=1e-4)


def test_reactivity_is_task_minus_the_baseline_that_the_protocol_names(clean):
    session, result = clean
    truth = session.truth
    scores = result.tables["reactivity"].set_index(["window", "feature"])
    row = scores.loc[("speech", "CUFF_SBP_Mean")]
    assert row["baseline_window"] == "baseline_last_360s"
    rest = truth.cuff[(truth.cuff_times_s >= 240) & (truth.cuff_times_s < 600), 0]
    speech = truth.phase("speech")
    during = (truth.cuff_times_s >= speech.onset) & (truth.cuff_times_s < speech.offset)
    assert row["delta"] == pytest.approx(truth.cuff[during, 0].mean() - rest.mean(), abs=1e-4)
    assert row["baseline_readings"] == len(rest)
    assert scores.loc[("speech", "BP_SBP_Mean"), "delta"] > 0
    assert "sliding" not in set(result.tables["reactivity"]["kind"])


# --- tables --------------------------------------------------------------------------------------


def test_tables_have_their_columns_order_and_reasons(clean):
    _, result = clean
    assert tuple(result.tables) == TABLES or set(result.tables) == set(TABLES)
    for name, table in result.tables.items():
        assert table.columns.tolist() == [column.name for column in COLUMNS[name]]
    table = result.tables["features"]
    header = "session participant condition window kind onset duration feature value unit"
    assert table.columns.tolist() == [*header.split(), "quality", "reason"]
    assert (table["value"].notna() | (table["reason"] != "")).all()
    assert table["onset"].is_monotonic_increasing
    assert not table.duplicated(["window", "feature"]).any()
    assert (table["unit"] != "").all()
    assert table["quality"].between(0, 1).sum() > 0.9 * len(table)
    assert {"phase", "phase_last", "interaction", "sliding"} == set(table["kind"])


def test_speech_windows_carry_the_caution_for_hf_and_no_other_window_does(clean):
    _, result = clean
    table = result.tables["features"].merge(result.windows[["window", "speech"]], on="window")
    for feature in ("HRV_HF", "HRV_HFn", "HRV_LnHF", "HRV_LFHF"):
        rows = table[table["feature"] == feature]
        assert len(rows)
        cautioned = rows["reason"].str.contains("not interpretable as vagal")
        assert (cautioned == rows["speech"]).all()
        assert cautioned.any()
    other = table[table["feature"].isin(["HRV_RMSSD", "BP_SBP_Mean", "EDA_Tonic_Mean"])]
    assert not other["reason"].str.contains("vagal").any()
    kinds = set(table[table["speech"]]["kind"])
    assert kinds == {"phase", "phase_last", "interaction", "sliding"}


def test_quality_of_every_stream_in_every_window(clean):
    _, result = clean
    table = result.tables["quality"]
    assert set(table["stream"]) == {"ecg", "bp", "cuff", "eda"}
    assert len(table) == 4 * len(result.windows)
    parts = {
        "ecg": {"missing_share", "flat_share", "movement_share", "corrected_share"},
        "bp": {"valid_share"},
        "eda": {"missing_share", "range_share", "clipped_share", "flat_share", "slope_share"},
    }
    for stream, names in parts.items():
        rows = table[table["stream"] == stream]
        known = {name for name in QUALITY_PARTS if rows[name].notna().all()}
        assert names <= known
        assert all(rows[name].between(0, 1).all() for name in known)
    of_phases = table[(table["kind"] == "phase") & (table["stream"] != "cuff")]
    assert (of_phases["quality"] > 0.9).all()


def test_result_and_files_say_the_same(clean):
    _, result = clean
    loaded = load_result(result.out_dir)
    for name in TABLES:
        pd.testing.assert_frame_equal(loaded.tables[name], result.tables[name], rtol=1e-8)
    assert loaded.provenance == json.loads(json.dumps(result.provenance))


def test_traces_are_for_display_only(clean):
    session, result = clean
    trace = result.traces["eda"]
    assert trace.columns.tolist() == ["time_s", "eda", "tonic", "phasic"]
    assert len(trace) <= 20 * session.truth.duration_s + 1


# --- provenance ----------------------------------------------------------------------------------


def test_provenance_says_what_the_numbers_came_from(clean):
    session, result = clean
    text = (result.out_dir / "provenance.json").read_text(encoding="utf-8")
    said = json.loads(text)
    assert said["input"]["file"] == "p01.h5"
    assert len(said["input"]["sha256"]) == 64
    assert str(session.path.parent) not in text
    assert said["config"] == PipelineConfig().model_dump(mode="json")
    assert {"numpy", "scipy", "pandas", "h5py"} <= set(said["libraries"])
    ecg = said["streams"]["ecg"]
    assert ecg["nominal_sfreq_hz"] == 250
    assert ecg["estimated_sfreq_hz"] == pytest.approx(250, rel=1e-4)
    assert ecg["n_gaps"] == 0
    assert said["stages"]["heart"]["detector"] == "slope energy"
    assert said["stages"]["heart"]["n_beats"] == len(result.tables["beats"])
    assert said["windows"]["by_kind"]["phase"] == 4


# --- up to date, bytes ---------------------------------------------------------------------------


def test_the_second_run_does_nothing_until_something_changes(brief, tmp_path):
    stages = []
    first = process_session(brief.path, out_dir=tmp_path, progress=stages.append)
    assert not first.up_to_date
    assert stages[0] == "reading"
    assert stages[-1] == "writing"
    assert first.out_dir == tmp_path / "p02"
    stages.clear()
    again = process_session(brief.path, out_dir=tmp_path, progress=stages.append)
    assert again.up_to_date
    assert stages == ["reading"]
    assert again.path == brief.path
    assert is_up_to_date(brief.path, None, tmp_path)
    other = PipelineConfig.model_validate({"eda": {"scr_amplitude_min_us": 0.05}})
    assert not is_up_to_date(brief.path, other, tmp_path)
    assert not process_session(brief.path, other, out_dir=tmp_path).up_to_date
    assert not is_up_to_date(brief.path, None, tmp_path)
    (tmp_path / "p02" / "features.csv").write_text("session\n")
    assert not process_session(brief.path, other, out_dir=tmp_path).up_to_date


def test_a_changed_recording_is_processed_again(tmp_path):
    path = tmp_path / "p.h5"
    simulate_session(path, seed=1, time_scale=0.05, streams=["cuff"])
    process_session(path, out_dir=tmp_path / "d")
    simulate_session(path, seed=2, time_scale=0.05, streams=["cuff"], overwrite=True)
    assert not is_up_to_date(path, None, tmp_path / "d")
    assert not process_session(path, out_dir=tmp_path / "d").up_to_date


def test_same_input_and_config_give_the_same_bytes(brief, tmp_path):
    for folder in ("one", "two"):
        process_session(brief.path, out_dir=tmp_path / folder)
    files = sorted(entry.name for entry in (tmp_path / "one" / "p02").iterdir())
    assert files == sorted(
        ["provenance.json", *(f"{name}{end}" for name in TABLES for end in (".csv", ".json"))]
    )
    for name in files:
        one, two = (tmp_path / folder / "p02" / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_an_interrupt_while_processing_leaves_the_old_results(brief, tmp_path):
    process_session(brief.path, out_dir=tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "p02").iterdir()}

    def interrupt(stage):
        if stage == "writing":
            raise KeyboardInterrupt

    other = PipelineConfig.model_validate({"hrv": {"domains": ["time"]}})
    with pytest.raises(KeyboardInterrupt):
        process_session(brief.path, other, out_dir=tmp_path, progress=interrupt)
    assert {path.name: path.read_bytes() for path in (tmp_path / "p02").iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p02"]


def test_without_a_folder_nothing_is_written(brief):
    before = sorted(brief.path.parent.iterdir())
    result = process_session(brief.path)
    assert result.out_dir is None
    assert len(result.tables["features"])
    assert sorted(brief.path.parent.iterdir()) == before


# --- what a session may lack ---------------------------------------------------------------------

TABLE_OF = {"ecg": "beats", "bp": "pressure_beats", "eda": "scr"}
PREFIXES = {"ecg": "HRV_", "bp": "BP_", "cuff": "CUFF_", "eda": "EDA_"}


@pytest.mark.parametrize("streams", [["ecg"], ["bp"], ["cuff"], ["eda"], ["ecg", "eda"], ["resp"]])
def test_a_session_is_processed_with_what_it_has(tmp_path, streams):
    session = simulate_session(tmp_path / "p.h5", seed=4, time_scale=SHORT, streams=streams)
    result = process_session(session.path, out_dir=tmp_path / "d")
    for stream, table in TABLE_OF.items():
        assert (len(result.tables[table]) > 0) == (stream in streams)
    found = set(result.tables["features"]["feature"].str.extract(r"^([A-Z]+_)")[0])
    for stream, prefix in PREFIXES.items():
        assert (prefix in found) == (stream in streams)
    assert "BRS_" not in found
    for name in TABLES:
        assert result.tables[name].columns.tolist() == [c.name for c in COLUMNS[name]]


def test_beats_from_intervals_stand_in_for_an_ecg(tmp_path, brief):
    beats = brief.truth.beat_times_s
    with SessionWriter(tmp_path / "p.h5", participant_id="P1") as writer:
        writer.add_stream("rr", modality="rr", units="ms", sfreq=0)
        kept = np.ones(len(beats) - 1, dtype=bool)
        kept[40:43] = False
        rr = 1000 * np.diff(beats)
        writer.append_irregular("rr", beats[1:][kept], rr[kept])
        writer.add_event(0.0, "phase", "baseline", duration=80.0)
        writer.add_event(80.0, "phase", "speech", duration=90.0)
    result = process_session(tmp_path / "p.h5")
    table = result.tables["beats"]
    assert set(table["source"]) == {"rr"}
    # Three lost intervals: one stretch without beats, and no interval over it.
    assert np.isnan(table["rr_s"]).sum() == 2
    assert len(table) == len(beats) - 2
    truth = np.diff(beats[beats < 80])
    inside = np.diff(beats[(beats >= 80) & (beats < 170)])
    assert value_of(result, "speech", "HRV_MeanNN") == pytest.approx(1000 * inside.mean(), rel=0.01)
    quality = result.tables["quality"].set_index("window")
    assert quality.loc["baseline", "usable_share"] < 1
    assert 60 / truth.mean() == pytest.approx(
        60_000 / value_of(result, "baseline", "HRV_MeanNN"), rel=0.01
    )


def test_no_events_give_one_window_and_a_notice(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=8.0)
        writer.append_segment("eda", 5 + 0.01 * np.sin(np.arange(960) / 50), t_start=2.0)
    result = process_session(tmp_path / "p.h5")
    assert result.windows["window"].tolist() == ["whole"]
    assert result.windows[["onset", "duration"]].iloc[0].tolist() == pytest.approx([2.0, 120.0])
    assert "whole" in notices(result)
    assert result.tables["reactivity"].empty
    assert value_of(result, "whole", "EDA_Tonic_Mean") == pytest.approx(5, abs=0.02)


def test_an_empty_session_gives_empty_tables(tmp_path):
    with SessionWriter(tmp_path / "p.h5"):
        pass
    result = process_session(tmp_path / "p.h5", out_dir=tmp_path / "d")
    assert result.tables["features"].empty
    assert load_result(result.out_dir).tables["features"].empty
    assert "nothing to process" in notices(result)


def test_a_gap_is_neither_bridged_nor_hidden(tmp_path):
    beats = np.arange(0.5, 240, 0.8)
    sfreq = 250.0
    ecg = ecg_waveform(np.arange(0, 240, 1 / sfreq), beats)
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=sfreq)
        writer.append_segment("ecg", ecg[: int(100 * sfreq)], t_start=0.0)
        writer.append_segment("ecg", ecg[int(130 * sfreq) :], t_start=130.0)
        writer.add_event(0.0, "phase", "baseline", duration=120.0)
        writer.add_event(120.0, "phase", "speech", duration=120.0)
    result = process_session(tmp_path / "p.h5")
    table = result.tables["beats"]
    assert not table["time_s"].between(100, 130).any()
    after = table[table["time_s"] > 130].iloc[0]
    assert np.isnan(after["rr_s"])
    assert table["rr_s"].max() < 0.85
    share = result.tables["quality"].set_index("window")["usable_share"]
    assert share["baseline"] == pytest.approx(100 / 120, abs=0.02)
    facts = result.provenance["streams"]["ecg"]
    assert facts["n_gaps"] == 1
    assert facts["gaps_total_s"] == pytest.approx(30, abs=0.01)


def test_a_window_without_enough_signal_has_no_values_but_reasons(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=8.0)
        writer.append_segment("eda", 5 + 0.1 * np.sin(np.arange(1000) / 50), t_start=0.0)
        writer.add_event(0.0, "phase", "baseline", duration=120.0)
        writer.add_event(120.0, "phase", "speech", duration=120.0)
    table = process_session(tmp_path / "p.h5").tables["features"]
    speech = table[table["window"] == "speech"]
    assert speech["value"].isna().all()
    assert (speech["reason"] != "").all()
    assert table[table["window"] == "baseline"]["reason"].ne("").sum() < len(speech)


def test_units_are_converted_or_named(tmp_path):
    eda = 5 + 0.1 * np.sin(np.arange(1200) / 50)
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("eda", modality="eda", units="nS", sfreq=8.0)
        writer.add_stream("bp", modality="bp", units="V", sfreq=50.0)
        writer.append_segment("eda", 1000 * eda, t_start=0.0)
        writer.append_segment("bp", np.sin(np.arange(7500) / 8), t_start=0.0)
    result = process_session(tmp_path / "p.h5")
    assert value_of(result, "whole", "EDA_Tonic_Mean") == pytest.approx(eda.mean(), rel=0.02)
    assert "from nS to µS" in notices(result)
    assert "stream 'bp' is left out: its unit 'V'" in notices(result)
    assert result.tables["pressure_beats"].empty


def test_streams_that_cannot_be_processed_are_named(tmp_path):
    slow = np.sin(np.arange(600) / 5)
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=20.0)
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        writer.add_stream("eda_2", modality="eda", units="µS", sfreq=4.0)
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        for name in ("ecg", "eda", "eda_2"):
            writer.append_segment(name, 5 + slow, t_start=0.0)
    result = process_session(tmp_path / "p.h5")
    said = notices(result)
    assert "stream 'ecg' is left out: sfreq is 20 Hz" in said
    assert "stream 'eda_2' is left out: 'eda' is the eda processed" in said
    assert "stream 'rr' is empty" in said
    assert len(result.tables["beats"]) == 0


def test_a_session_that_was_never_closed_is_processed_with_a_notice(tmp_path):
    path = tmp_path / "p.h5"
    writer = SessionWriter(path)
    writer.add_stream("eda", modality="eda", units="µS", sfreq=8.0)
    writer.append_segment("eda", 5 + 0.1 * np.sin(np.arange(1200) / 50), t_start=0.0)
    writer.add_event(10.0, "phase", "baseline", duration=float("nan"))
    writer.flush()
    result = process_session(path)
    writer.close()
    assert "never closed" in notices(result)
    assert result.windows["duration"].tolist() == pytest.approx([140.0], abs=0.2)
    assert result.provenance["input"]["closed"] is False


def test_the_first_cuff_reading_is_discarded_where_the_protocol_says_so(tmp_path):
    from physio_hqc.protocol import load_protocol

    design = load_protocol("lepore_1993").model_dump()
    design["baseline"]["discard_first_cuff"] = True
    design = type(load_protocol("lepore_1993")).model_validate(design)
    session = simulate_session(tmp_path / "p.h5", protocol=design, streams=["cuff"])
    result = process_session(session.path)
    assert value_of(result, "baseline", "CUFF_N") == 3
    assert value_of(result, "baseline", "CUFF_SBP_Mean") == pytest.approx(
        session.truth.cuff[1:4, 0].mean()
    )
    assert "cuff reading at 250 s left out" in notices(result)


# --- configuration -------------------------------------------------------------------------------


def test_a_session_without_protocol_takes_the_one_of_the_configuration(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=8.0)
        writer.append_segment("eda", 5 + 0.1 * np.sin(np.arange(8000) / 50), t_start=0.0)
        writer.add_event(0.0, "phase", "baseline", duration=600.0)
        writer.add_event(600.0, "phase", "speech", duration=360.0)
    plain = process_session(tmp_path / "p.h5")
    assert plain.windows["speech"].tolist() == [False, False]
    scores = plain.tables["reactivity"]
    assert set(scores.loc[scores["delta"].notna(), "baseline_window"]) == {"baseline"}
    config = PipelineConfig(protocol="lepore_1993")
    guided = process_session(tmp_path / "p.h5", config)
    assert guided.windows.set_index("window").loc["speech", "speech"]
    scores = guided.tables["reactivity"]
    assert set(scores.loc[scores["delta"].notna(), "baseline_window"]) == {"baseline_last_360s"}


def test_window_rules_of_the_configuration_replace_the_protocols(brief):
    rules = {"windows": {"phase_last": [{"seconds": 10}]}}
    result = process_session(brief.path, PipelineConfig.model_validate(rules))
    assert "speech_last_10s" in set(result.windows["window"])
    assert "sliding" not in set(result.windows["kind"])


def test_an_unknown_baseline_window_is_a_notice(brief):
    config = PipelineConfig.model_validate({"reactivity": {"baseline_window": "rest"}})
    result = process_session(brief.path, config)
    assert result.tables["reactivity"].empty
    assert "the window 'rest' does not exist" in notices(result)


# --- errors --------------------------------------------------------------------------------------


def test_what_is_no_session_is_one_clear_error(tmp_path):
    text = tmp_path / "data.csv"
    text.write_text("time,ecg\n0,1\n")
    with pytest.raises(SessionFileError, match="import"):
        process_session(text)
    with pytest.raises(PhysioError):
        process_session(tmp_path / "missing.h5")
    with pytest.raises(PhysioError):
        is_up_to_date(tmp_path / "missing.h5", None, tmp_path)


def test_a_wrong_configuration_is_one_clear_error(brief, tmp_path):
    with pytest.raises(ConfigError):
        process_session(brief.path, tmp_path / "none.yaml")
    with pytest.raises(ConfigError):
        process_session(brief.path, PipelineConfig(protocol="lepore_1939"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(brief, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        process_session(brief.path, out_dir=tmp_path / "file")


# --- real recordings -----------------------------------------------------------------------------


def imported(source: Path, tmp_path: Path):
    from physio_hqc.importers import import_recording

    target = tmp_path / f"{source.stem}.h5"
    import_recording(source, target)
    return process_session(target, out_dir=tmp_path / "derivatives")


def test_an_acqknowledge_recording_of_ecg_and_eda(shared_data, tmp_path):
    source = shared_data / "formats" / "acqknowledge" / "physio-5.0.1.acq"
    result = imported(source, tmp_path)
    features = result.tables["features"]
    rate = 60_000 / features.loc[features["feature"] == "HRV_MeanNN", "value"].iloc[0]
    assert 40 < rate < 120
    assert features["feature"].str.startswith("EDA_").any()
    assert result.tables["pressure_beats"].empty


def test_a_wfdb_record_with_reference_beats(shared_data, tmp_path):
    import wfdb

    result = imported(shared_data / "mitbih" / "101.hea", tmp_path)
    reference = wfdb.rdann(str(shared_data / "mitbih" / "101"), "atr")
    beats = np.array(reference.sample)[np.isin(reference.symbol, list("NLRBAaJSVrFejnE/fQ?"))] / 360
    found = result.tables["beats"]["time_s"].to_numpy()
    near = np.abs(found[np.searchsorted(found, beats).clip(1, len(found) - 1)] - beats)
    before = np.abs(found[np.searchsorted(found, beats).clip(1, len(found) - 1) - 1] - beats)
    assert (np.minimum(near, before) < 0.15).mean() > 0.99
    assert len(found) == pytest.approx(len(beats), rel=0.01)
    assert result.windows["window"].tolist() == ["whole"]
