"""Results and tables of a study that were tampered with: one clear line, nothing followed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from physio_hqc.errors import OutputError, PhysioError, StudyError
from physio_hqc.pipeline import process_session
from physio_hqc.pipeline.store import load_result, read_provenance
from physio_hqc.session import SessionWriter
from physio_hqc.study.collect import collect_sessions
from physio_hqc.study.participants import load_participants
from physio_hqc.study.ratings import load_ratings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    with SessionWriter(folder / "p01.h5", participant_id="P01") as writer:
        writer.add_stream(
            "cuff", modality="cuff", units="mmHg,mmHg,mmHg,1/min", sfreq=0,
            channels=["SBP", "DBP", "MAP", "HR"],
        )  # fmt: skip
        writer.append_irregular("cuff", [5.0, 30.0], [[120, 80, 93, 70], [130, 85, 100, 75]])
        writer.add_event(0.0, "phase", "baseline", duration=20.0, payload={"role": "baseline"})
        writer.add_event(20.0, "phase", "talk", duration=20.0, payload={"role": "task"})
    out = process_session(folder / "p01.h5", out_dir=folder / "derivatives").out_dir
    assert out is not None
    return out


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "derivatives" / "p01"
    folder.mkdir(parents=True)
    for path in whole.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def sealed(folder: Path, name: str, content: bytes) -> None:
    """Replace a table and make its checksum right."""
    (folder / f"{name}.csv").write_bytes(content)
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["tables"][f"{name}.csv"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "provenance.json").write_text(json.dumps(provenance))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a,b\n1,2\n", b"\xff\xfe\x00", b"window\n" + b'"' + b"x" * 100, b"\x00" * 50],
)
@pytest.mark.parametrize("name", ["windows", "features", "cuff"])
def test_a_table_with_a_right_checksum_and_wrong_content(
    results: Path, name: str, content: bytes
) -> None:
    sealed(results, name, content)
    with pytest.raises(OutputError, match=rf"{name}\.csv") as caught:
        load_result(results)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("cell", ["x", "1" * 400 + "x", "1;2"])
def test_a_number_that_is_none(results: Path, cell: str) -> None:
    lines = (results / "windows.csv").read_text().splitlines()
    header = lines[0].split(",")
    cells = lines[1].split(",")
    cells[header.index("onset")] = cell
    sealed(results, "windows", "\n".join([lines[0], ",".join(cells), ""]).encode())
    with pytest.raises(OutputError, match=r"windows\.csv is no table"):
        load_result(results)


def test_rows_longer_than_the_header(results: Path) -> None:
    text = (results / "windows.csv").read_text().splitlines()
    sealed(results, "windows", "\n".join([text[0], *(f"x,{t}" for t in text[1:])]).encode())
    with pytest.raises(OutputError, match=r"windows\.csv"):
        load_result(results)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, '{"a": NaN}', '"x"', "\x00"],
)
def test_provenance_that_is_none(results: Path, text: str) -> None:
    (results / "provenance.json").write_text(text)
    assert read_provenance(results) is None
    with pytest.raises(PhysioError):
        load_result(results)
    with pytest.raises(StudyError):
        collect_sessions(results.parent)


@pytest.mark.parametrize("key", ["input", "tables", "config"])
@pytest.mark.parametrize("value", [None, [], "x", 5, [["a", 1]], {"windows.csv": 5}])
def test_provenance_of_other_types(results: Path, key: str, value: Any) -> None:
    provenance = json.loads((results / "provenance.json").read_text())
    provenance[key] = value
    (results / "provenance.json").write_text(json.dumps(provenance))
    fits = isinstance(value, dict) if key == "input" else key == "config" and value in (None,)
    if fits or (key == "config" and isinstance(value, dict)):
        assert list(collect_sessions(results.parent).sessions["session"]) == ["p01"]
        return
    with pytest.raises(PhysioError) as caught:
        collect_sessions(results.parent)
    assert len(str(caught.value).splitlines()) == 1


def test_a_path_in_the_provenance_is_not_followed(results: Path, tmp_path: Path) -> None:
    provenance = json.loads((results / "provenance.json").read_text())
    provenance["input"]["file"] = "../../../etc/passwd"
    provenance["tables"]["../../secret.csv"] = {"sha256": "0"}
    (results / "provenance.json").write_text(json.dumps(provenance))
    assert load_result(results).out_dir == results
    assert list(collect_sessions(results.parent).sessions["session"]) == ["p01"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 100,
        b"\xff\xfe\x00",
        b'id\n"' + b"x" * 200_000,
        b"id,id\na,b\n",
        b"id\n" + b"a" * 200_000 + b",b\n",
        b"sep=;\n",
        b"PK\x03\x04",
        b"id,age\nP1," + b"9" * 5000 + b"\n",
        b"participant,window,name,value\nP1,talk,stress,1e999\n",
        b"participant,window,feature,value\nP1,baseline,X," + b"9" * 5000 + b"\n",
    ],
)
@pytest.mark.parametrize("load", [load_participants, load_ratings, collect_sessions])
def test_hostile_tables_are_refused_in_one_line(tmp_path: Path, load: Any, raw: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    with pytest.raises(PhysioError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 2000
