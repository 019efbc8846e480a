"""The folder of results: whole or not at all, the same bytes every time, read back as written."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import OutputError
from physio_hqc.features import FEATURES
from physio_hqc.pipeline import TABLES, load_result
from physio_hqc.pipeline.schema import COLUMNS, conform, data_dictionary, empty_table
from physio_hqc.pipeline.store import restore, stored_provenance, write_results

PROVENANCE = {"input": {"file": "p01.h5"}, "notices": []}


def tables(value=1.0):
    """Tables with one row in each, texts that a CSV could spoil among them."""
    texts = {"reason": 'a, "b"\nc', "window": "NA", "condition": "", "label": "nan"}
    made = {}
    for name in TABLES:
        row = {
            column.name: {"text": texts.get(column.name, "µ"), "number": value, "truth": True}[
                column.dtype
            ]
            for column in COLUMNS[name]
        }
        made[name] = conform(pd.DataFrame([row, row]), name)
        numbers = [column.name for column in COLUMNS[name] if column.dtype == "number"]
        made[name].loc[1, numbers[-1:]] = np.nan
    return made


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_tables_are_read_back_as_they_were_written(tmp_path):
    written = tables(1 / 3)
    write_results(tmp_path / "p01", written, PROVENANCE)
    result = load_result(tmp_path / "p01")
    assert result.up_to_date
    assert result.out_dir == tmp_path / "p01"
    for name in TABLES:
        pd.testing.assert_frame_equal(result.tables[name], written[name], rtol=1e-9)


def test_tables_without_rows_keep_columns_and_types(tmp_path):
    write_results(tmp_path / "p01", {name: empty_table(name) for name in TABLES}, PROVENANCE)
    for name, table in load_result(tmp_path / "p01").tables.items():
        pd.testing.assert_frame_equal(table, empty_table(name))
        assert table.columns.tolist() == [column.name for column in COLUMNS[name]]


def test_every_column_and_every_feature_is_described(tmp_path):
    write_results(tmp_path / "p01", tables(), PROVENANCE)
    for name in TABLES:
        header = (tmp_path / "p01" / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
        described = json.loads((tmp_path / "p01" / f"{name}.json").read_text(encoding="utf-8"))
        assert list(described) == header.split(",")
        for entry in described.values():
            assert entry["Description"]
            assert entry["Source"]
    levels = data_dictionary("features")["feature"]["Levels"]
    assert set(levels) == set(FEATURES)
    assert levels["BP_SBP_Mean"]["Units"] == "mmHg"


def test_files_are_utf8_with_plain_line_ends(tmp_path):
    write_results(tmp_path / "p01", tables(0.1 + 0.2), PROVENANCE)
    raw = (tmp_path / "p01" / "beats.csv").read_bytes()
    assert raw.decode("utf-8").startswith("time_s,rr_s,kind,source\n0.3,0.3,")
    assert b"\r" not in raw


def test_a_report_is_dropped_and_other_files_are_kept(tmp_path):
    folder = tmp_path / "p01"
    write_results(folder, tables(1), PROVENANCE)
    (folder / "report.html").write_text("old numbers")
    (folder / "notes.txt").write_text("mine")
    (folder / "figures").mkdir()
    (folder / "figures" / "a.svg").write_text("x")
    write_results(folder, tables(2), PROVENANCE)
    assert not (folder / "report.html").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "figures" / "a.svg").read_text() == "x"
    assert load_result(folder).tables["beats"]["time_s"].iloc[0] == 2


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "p01"
    folder.mkdir()
    (folder / "thesis.docx").write_text("x")
    with pytest.raises(OutputError, match="no results"):
        write_results(folder, tables(), PROVENANCE)
    assert names(tmp_path) == ["p01"]
    assert names(folder) == ["thesis.docx"]


def test_a_file_in_the_way_is_one_clear_error(tmp_path):
    (tmp_path / "p01").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        write_results(tmp_path / "p01", tables(), PROVENANCE)
    with pytest.raises(OutputError, match="cannot be written"):
        write_results(tmp_path / "p01" / "below", tables(), PROVENANCE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="cannot be written"):
        write_results(tmp_path / "p01", tables(), PROVENANCE)
    tmp_path.chmod(0o755)


def test_an_error_in_the_middle_leaves_the_old_results(tmp_path):
    folder = tmp_path / "p01"
    write_results(folder, tables(1), PROVENANCE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    broken = tables(2)
    broken["quality"] = broken["quality"].drop(columns="stream")
    with pytest.raises(KeyError):
        write_results(folder, broken, PROVENANCE)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert names(tmp_path) == ["p01"]


def test_an_error_in_the_middle_of_the_first_run_leaves_nothing(tmp_path):
    broken = tables()
    del broken["reactivity"]
    with pytest.raises(KeyError):
        write_results(tmp_path / "d" / "p01", broken, PROVENANCE)
    assert names(tmp_path / "d") == []


def test_a_run_killed_between_the_renames_is_undone(tmp_path):
    folder = tmp_path / "p01"
    write_results(folder, tables(1), PROVENANCE)
    folder.rename(tmp_path / ".p01.old")
    (tmp_path / ".p01.new").mkdir()
    restore(folder)
    assert load_result(folder).tables["beats"]["time_s"].iloc[0] == 1
    write_results(folder, tables(2), PROVENANCE)
    assert names(tmp_path) == ["p01"]


@pytest.mark.parametrize("spoil", ["append", "delete", "no dictionary", "no provenance", "no json"])
def test_results_that_were_changed_are_not_current(tmp_path, spoil):
    folder = tmp_path / "p01"
    write_results(folder, tables(), PROVENANCE)
    assert stored_provenance(folder)["input"] == PROVENANCE["input"]
    if spoil == "append":
        with (folder / "beats.csv").open("a") as file:
            file.write("1,1,normal,ecg\n")
    elif spoil == "delete":
        (folder / "beats.csv").unlink()
    elif spoil == "no dictionary":
        (folder / "beats.json").unlink()
    elif spoil == "no provenance":
        (folder / "provenance.json").unlink()
    else:
        (folder / "provenance.json").write_text("[1")
    assert stored_provenance(folder) is None
    if spoil != "no dictionary":
        with pytest.raises(OutputError):
            load_result(folder)


def test_writers_at_the_same_time_leave_whole_results(tmp_path):
    folder = tmp_path / "p01"
    errors = []

    def write(value):
        try:
            for _ in range(3):
                write_results(folder, tables(value), PROVENANCE)
        except OutputError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(value,)) for value in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(tmp_path) == ["p01"]
    values = {
        load_result(folder).tables[name].select_dtypes("number").iloc[0, 0] for name in TABLES
    }
    assert len(values) == 1


_WRITE_FOREVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import PROVENANCE, tables
from physio_hqc.pipeline.store import write_results
both = tables(1.0), tables(2.0)
print("ready", flush=True)
for turn in range(100_000):
    write_results(Path(sys.argv[1]), both[turn % 2], PROVENANCE)
"""


def test_killing_a_writer_leaves_old_or_new_results(tmp_path):
    folder = tmp_path / "p01"
    here = Path(__file__).parent
    for wait_s in (0.013, 0.11, 0.257):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOREVER, folder, here], stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.05 + wait_s)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        restore(folder)
        result = load_result(folder)
        firsts = {result.tables[name].select_dtypes("number").iloc[0, 0] for name in TABLES}
        assert len(firsts) == 1
    write_results(folder, tables(), PROVENANCE)
    assert names(tmp_path) == ["p01"]
