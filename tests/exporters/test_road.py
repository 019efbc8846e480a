"""What all exports share: nothing is overwritten, nothing is half."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

from physio_hqc.errors import OutputError, PhysioError
from physio_hqc.exporters import export_session
from physio_hqc.exporters.key import open_key

PLACES = {"edf": "x.edf", "fif": "x_raw.fif", "csv": "x"}


@pytest.mark.parametrize("to", PLACES)
def test_it_refuses_to_overwrite_unless_told(to, live, tmp_path):
    out = tmp_path / PLACES[to]
    export_session(live.path, out, to=to)
    with pytest.raises(OutputError, match="exists already"):
        export_session(live.path, out, to=to)
    export_session(live.path, out, to=to, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_tables_go_into_an_empty_folder(live, tmp_path):
    (tmp_path / "x").mkdir()
    export_session(live.path, tmp_path / "x", to="csv")
    assert (tmp_path / "x" / "session.json").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(OutputError, match="exists already"):
        export_session(live.path, tmp_path / "mine", to="csv")


@pytest.mark.parametrize("to", ["bids", *PLACES])
def test_that_a_recording_was_not_closed_is_told(to, live, tmp_path):
    path = tmp_path / "p07.h5"
    shutil.copy(live.path, path)
    with h5py.File(path, "r+") as file:
        file.attrs["closed"] = False
    report = export_session(path, tmp_path / PLACES.get(to, "data"), to=to)
    assert any("was not closed" in notice for notice in report.notices)


def test_it_never_overwrites_the_session(live):
    before = live.path.stat().st_mtime_ns
    with pytest.raises(OutputError, match="the session itself"):
        export_session(live.path, live.path, to="edf", overwrite=True)
    assert live.path.stat().st_mtime_ns == before


def test_what_cannot_be_meant_is_refused(live, tmp_path):
    with pytest.raises(OutputError, match="no format"):
        export_session(live.path, tmp_path / "x", to="docx")
    with pytest.raises(OutputError, match="BIDS"):
        export_session(live.path, tmp_path / "x.edf", to="edf", derivatives=tmp_path)
    with pytest.raises(OutputError, match="folder"):
        export_session(live.path, tmp_path, to="edf", overwrite=True)
    with pytest.raises(PhysioError):
        export_session(tmp_path / "none.h5", tmp_path / "x.edf", to="edf")


@pytest.mark.parametrize("to", PLACES)
def test_a_deidentified_export_tells_nobody(to, live, tmp_path):
    with open_key(tmp_path / "key.csv") as key:
        report = export_session(live.path, tmp_path / "out", to=to, deidentify=key, into=True)
    [made] = report.paths
    assert "live" not in made.name
    files = [made] if made.is_file() else list(made.iterdir())
    content = b"".join(file.read_bytes() for file in files)
    known = (b"P 07", b"P_07", b"NOV-2025", b"2025-11-23", b"23.11.25", b"1763900000")
    for secret in (*known, "läuft".encode(), b"l\\u00e4uft", "Zoë".encode(), b"Zo\\u00eb"):
        assert secret not in content, secret
    with open_key(tmp_path / "key.csv") as key, pytest.raises(OutputError, match="key"):
        export_session(live.path, tmp_path, to=to, deidentify=key, into=True, overwrite=True)


@pytest.mark.parametrize("to", PLACES)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_the_old_export_is_whole(to, how, live, tmp_path):
    out = tmp_path / PLACES[to]
    export_session(live.path, out, to=to)
    code = (
        "import sys; from physio_hqc.exporters import export_session; print('on', flush=True)\n"
        f"while True: export_session(sys.argv[1], sys.argv[2], to={to!r}, overwrite=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(live.path), str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.3)
    process.send_signal(how)
    process.wait()
    process.stdout.close()
    export_session(live.path, tmp_path / f"other_{out.name}", to=to)

    def content(path: Path) -> dict[str, bytes]:
        files = [path] if path.is_file() else sorted(path.iterdir())
        return {"" if path.is_file() else f.name: f.read_bytes() for f in files}

    assert content(out) == content(tmp_path / f"other_{out.name}")
    if how == signal.SIGKILL:
        export_session(live.path, out, to=to, overwrite=True)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
