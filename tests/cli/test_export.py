"""``physio-hqc export`` as a user meets it."""

import json

import pytest

from physio_hqc.cli.main import run
from physio_hqc.simulate import simulate_session


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    for k, name in enumerate(("p01", "p02")):
        simulate_session(folder / f"{name}.h5", seed=k, time_scale=0.05, streams=["eda"])
    (folder / "bad.h5").write_bytes(b"no session")
    return folder


@pytest.mark.parametrize(
    ("to", "name"), [("edf", "p01.edf"), ("fif", "p01_raw.fif"), ("csv", "p01")]
)
def test_one_file(to, name, lab, tmp_path, capsys):
    out = tmp_path / name
    assert run(["export", str(lab / "p01.h5"), "--to", to, "--out", str(out)]) == 0
    assert out.exists()
    assert str(out) in capsys.readouterr().out
    assert run(["export", str(lab / "p01.h5"), "--to", to, "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_several_files_go_into_a_folder_and_a_bad_one_stops_none(lab, tmp_path, capsys):
    files = [str(lab / name) for name in ("p01.h5", "bad.h5", "p02.h5")]
    assert run(["export", *files, "--to", "edf", "--out", str(tmp_path / "edf"), "--json"]) == 2
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert sorted(path.name for path in (tmp_path / "edf").iterdir()) == ["p01.edf", "p02.edf"]
    assert [len(row["paths"]) for row in told["exported"]] == [1, 1]
    assert len(told["failed"]) == 1
    assert "bad.h5" in said.err


def test_a_data_set(lab, tmp_path):
    files = [str(lab / name) for name in ("p01.h5", "p02.h5")]
    assert run(["export", *files, "--to", "bids", "--out", str(tmp_path / "set")]) == 0
    assert (tmp_path / "set" / "participants.tsv").exists()


def test_deidentified_names_and_the_key(lab, tmp_path, capsys):
    files = [str(lab / name) for name in ("p01.h5", "p02.h5")]
    out = tmp_path / "shared"
    assert run(["export", *files, "--to", "edf", "--out", str(out), "--deidentify"]) == 0
    said = capsys.readouterr().out
    assert "shared_key.csv" in said
    assert (tmp_path / "shared_key.csv").exists()
    names = [path.name for path in out.iterdir()]
    assert len(names) == 2
    assert not any("p0" in name for name in names)
    inside = ["--deidentify", "--key", str(out / "key.csv"), "--overwrite"]
    assert run(["export", *files, "--to", "edf", "--out", str(out), *inside]) == 2
    assert not (out / "key.csv").exists()


@pytest.mark.parametrize("extra", [["--to", "docx"], ["--to", "edf", "--key", "k.csv"]])
def test_what_cannot_be_meant(extra, lab, tmp_path, capsys):
    assert run(["export", str(lab / "p01.h5"), "--out", str(tmp_path / "x"), *extra]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_teaches(capsys):
    assert run(["export", "--help"]) == 0
    said = capsys.readouterr().out
    assert "physio-hqc export P01.h5 --to edf --out P01.edf" in said
    assert "--deidentify" in said
