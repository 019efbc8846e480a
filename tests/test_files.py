"""Files that appear whole or not at all, and locks: with real processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from physio_hqc.errors import OutputError
from physio_hqc.files import folder_in, locked, new_file, replaced_file, replaced_folder, tidy

posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks of a POSIX system")
HEAD = (
    "import sys, time; from pathlib import Path\n"
    "from physio_hqc.files import locked, replaced_file, replaced_folder\n"
    "path = Path(sys.argv[1])\n"
)
WAITS = "    print('there', flush=True); sys.stdin.read()\n"
HOLDS = f"{HEAD}with locked(path):\n{WAITS}"
WRITES_FILE = f"{HEAD}with replaced_file(path) as part:\n    part.write_text('half')\n{WAITS}"
WRITES_FOLDER = (
    f"{HEAD}with replaced_folder(path) as part:\n    (part / 'a').write_text('half')\n{WAITS}"
)
ADDS = (
    f"{HEAD}for _ in range(30):\n    with locked(path), replaced_file(path) as part:\n"
    "        part.write_text(str(int(path.read_text()) + 1))\n"
)


def started(code: str, path: Path) -> subprocess.Popen[str]:
    """A process that runs the code; where it waits, it has come that far."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if code.endswith(WAITS):
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
    return process


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def half_written(part: Path, error: BaseException) -> None:
    (part / "new" if part.is_dir() else part).write_text("new")
    raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@posix
def test_a_lock_keeps_others_away_until_its_process_is_killed(tmp_path):
    path = tmp_path / "key.csv"
    holder = started(HOLDS, path)
    with pytest.raises(OutputError, match="another process"), locked(path, wait=False):
        pass
    holder.kill()
    ended(holder)
    assert names(tmp_path) == [".key.csv.lock"]
    with locked(path, wait=False):
        assert names(tmp_path) == [".key.csv.lock"]
    assert names(tmp_path) == []


@posix
def test_a_waiting_process_goes_on_when_the_holder_is_killed(tmp_path):
    path = tmp_path / "key.csv"
    holder = started(HOLDS, path)
    entered = threading.Event()

    def wait() -> None:
        with locked(path):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.2)
    holder.kill()
    ended(holder)
    waiting.join(60)
    assert entered.is_set()
    assert names(tmp_path) == []


@posix
def test_no_two_processes_hold_it_at_once(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    processes = [started(ADDS, path) for _ in range(4)]
    assert [ended(process) for process in processes] == [0] * 4
    assert path.read_text() == "120"
    assert names(tmp_path) == ["count"]


@posix
def test_a_lock_whose_file_somebody_deleted_takes_no_other_with_it(tmp_path):
    path, lock = tmp_path / "key.csv", tmp_path / ".key.csv.lock"
    with locked(path):
        lock.unlink()
        other = started(HOLDS, path)
    assert lock.exists()
    with pytest.raises(OutputError, match="another process"), locked(path, wait=False):
        pass
    assert ended(other) == 0
    assert names(tmp_path) == []


@posix
def test_a_lock_that_cannot_be_deleted_ends_all_the_same(tmp_path):
    folder = tmp_path / "folder"
    with locked(folder / "a"):
        folder.rename(tmp_path / "elsewhere")
    with locked(tmp_path / "elsewhere" / "a", wait=False):
        pass


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("code", [WRITES_FILE, WRITES_FOLDER], ids=["file", "folder"])
def test_killed_while_writing(code, how, tmp_path):
    path = tmp_path / "result"
    if code == WRITES_FILE:
        path.write_text("old")
    else:
        path.mkdir()
        (path / "old").write_text("old")
    writer = started(code, path)
    writer.send_signal(how)
    assert ended(writer) != 0
    left = [name for name in names(tmp_path) if name != "result"]
    assert all(name.startswith(".result.") and name.endswith(".part") for name in left)
    assert how != signal.SIGINT or left == []
    tidy(path)
    assert names(tmp_path) == ["result"]
    assert path.read_text() == "old" if path.is_file() else names(path) == ["old"]


def test_tidying_up_takes_only_what_replacing_leaves(tmp_path):
    kept = [".b.csv.0123abcd.part", ".a.csv.part", ".a.csv.0123ABCD.part", "a.csv.0123abcd.part"]
    for name in (*kept, ".a.csv.0123abcd.part"):
        (tmp_path / name).touch()
    tidy(tmp_path / "a.csv")
    assert names(tmp_path) == sorted(kept)
    tidy(tmp_path / "missing" / "a.csv")


def test_of_two_folders_that_were_being_exchanged_one_comes_back(tmp_path):
    for name in (".out.0123abcd.part", ".out.89abcdef.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whole").touch()
    tidy(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["whole"]


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [True, False])
def test_any_error_leaves_what_was_there(error, old, tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    if old:
        file.write_text("old")
        folder.mkdir()
        (folder / "old").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    expected = OutputError if isinstance(error, OSError) else type(error)
    for place, replaced in ((file, replaced_file), (folder, replaced_folder)):
        with pytest.raises(expected), replaced(place) as part:
            half_written(part, error)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_an_exchange_that_is_interrupted_is_undone(failing, error, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    real, calls = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == failing:
            raise error
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises((OutputError, KeyboardInterrupt)), replaced_folder(folder) as part:
        (part / "new").write_text("new")
    assert names(tmp_path) == ["folder"]
    assert names(folder) == ["old"]


def test_what_cannot_be_read_is_not_called_unwritable(tmp_path):
    source, target = tmp_path / "source.h5", tmp_path / "out" / "target.csv"
    with pytest.raises(OutputError) as refused, replaced_file(target):
        source.read_bytes()
    assert str(refused.value) == f"{target} was not written: {source} (No such file or directory)"
    (tmp_path / "file").write_text("mine")
    unwritable = "cannot be written"
    with pytest.raises(OutputError, match=unwritable), replaced_folder(target) as part:
        (part / "missing" / "x").write_text("x")
    with pytest.raises(OutputError, match=unwritable), replaced_file(target):
        pass
    with pytest.raises(OutputError, match=unwritable), replaced_file(tmp_path / "file" / "below"):
        pass
    assert names(tmp_path / "out") == []


def test_a_name_that_is_none_is_refused_everywhere(tmp_path):
    for name in ("a\0b", "n" * 256, "x" * 5000):
        path = tmp_path / name
        for refused in (locked, replaced_file, replaced_folder):
            with pytest.raises(OutputError), refused(path):
                pass
        with pytest.raises(OutputError):
            new_file(path)
        with pytest.raises(OutputError):
            folder_in(tmp_path, name)
    assert names(tmp_path) == []


def test_a_file_for_a_folder_and_the_other_way_around(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a file"), replaced_folder(tmp_path / "file"):
        pass
    with pytest.raises(OutputError, match="is a folder"), replaced_file(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["file", "folder"]


def test_long_names_that_begin_alike_do_not_meet(tmp_path):
    one, two = tmp_path / ("n" * 250 + "1"), tmp_path / ("n" * 250 + "2")
    with locked(one), locked(two, wait=False), replaced_file(one) as a, replaced_file(two) as b:
        a.write_text("1")
        b.write_text("2")
    assert (one.read_text(), two.read_text()) == ("1", "2")
    assert names(tmp_path) == [one.name, two.name]
