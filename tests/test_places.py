"""Places and names of every kind, through the command line: done, or refused in one line.

What is asked for stands where it was asked for, nothing stands anywhere else, and nothing half
is left.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from physio_hqc import import_recording, open_session, process_session
from physio_hqc.cli.main import run
from physio_hqc.errors import OutputError, PhysioError
from physio_hqc.files import locked
from physio_hqc.pipeline import load_result
from physio_hqc.session import SessionWriter
from physio_hqc.session.recover import recover_session
from physio_hqc.simulate import simulate_feature_study, simulate_session

PROGRAM = str(Path(sys.executable).with_name("physio-hqc"))
RATES = ("--ecg-sfreq", "50", "--bp-sfreq", "20", "--eda-sfreq", "4")
PLAIN = (
    "name: plain\ntitle: One short phase\n"
    "phases: [{name: rest, role: baseline, duration_s: 0.3}]\nbaseline: {phase: rest}\n"
)
NAMES = {
    "unicode": "Žofie Größe 心拍",
    "combining": unicodedata.normalize("NFD", "Žofie é"),
    "spaces": "  two  spaces ",
    "quotes": 'it\'s "quoted" `now`',
    "newline": "two\nlines",
    "emoji": "❤️‍🔥🫀",
    "leading dash": "-rf",
    "markup": "[bold red]x[b] [link=x]",
    "braces": "{0} %s %n $HOME ~ *?",
    "control": "bell\x07\x1b[2Jclear",
    "reserved": "CON",
    "trailing dots": "P01. .",
    "backslash": "C:\\x\\..\\y",
    "longest": "n" * 240,
    "not text": os.fsdecode(b"caf\xe9"),
}

HARDEST = ("newline", "leading dash", "control", "longest", "not text")


class Made(NamedTuple):
    """A session, a recording of a vendor, a protocol and a broken session."""

    session: Path
    table: Path
    protocol: Path
    broken: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    session = simulate_session(
        folder / "p01.h5", seed=1, time_scale=0.02, streams=("cuff", "eda"), eda_sfreq=4.0
    ).path
    table = folder / "p02.csv"
    rows = "\n".join(f"{k / 4},{5 + k % 3}" for k in range(400))
    table.write_text(f"time (s),EDA (uS)\n{rows}\n")
    protocol = folder / "plain.yaml"
    protocol.write_text(PLAIN)
    broken = folder / "broken.h5"
    broken.write_bytes(session.read_bytes()[:-2000])
    return Made(session, table, protocol, broken)


def simulated(_: Made, out: str) -> list[str]:

    return ["simulate", "session", f"--out={out}", "--time-scale", "0.01", *RATES]


def imported(made: Made, out: str) -> list[str]:
    return ["import", str(made.table), f"--out={out}"]


def recovered(made: Made, out: str) -> list[str]:
    return ["recover", str(made.broken), f"--out={out}"]


def recorded(made: Made, out: str) -> list[str]:
    how = ("--participant", "P01", "--no-screen", "--device", "simulator:load=1x50")
    return ["record", str(made.protocol), f"--out={out}", *how]


def processed(made: Made, out: str) -> list[str]:
    return ["process", str(made.session), f"--out={out}", "--no-report", "--jobs", "1"]


def exported_csv(made: Made, out: str) -> list[str]:
    return ["export", str(made.session), "--to", "csv", f"--out={out}"]


def exported_bids(made: Made, out: str) -> list[str]:
    return ["export", str(made.session), "--to", "bids", f"--out={out}"]


def exported_edf(made: Made, out: str) -> list[str]:
    return ["export", str(made.session), "--to", "edf", f"--out={out}"]


def exported_fif(made: Made, out: str) -> list[str]:
    return ["export", str(made.session), "--to", "fif", f"--out={out}"]


Command = Callable[[Made, str], list[str]]
FILES: tuple[Command, ...] = (simulated, imported, recovered, recorded)
EXPORTS: tuple[Command, ...] = (exported_edf, exported_fif)
FOLDERS: tuple[Command, ...] = (processed, exported_csv, exported_bids)
ENDINGS = {exported_edf: ".edf", exported_fif: "_raw.fif"}
by_name = pytest.mark.parametrize("command", [*FILES, *EXPORTS, *FOLDERS], ids=lambda c: c.__name__)


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line in which the command line refuses."""
    capsys.readouterr()
    assert run(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].isprintable()
    return lines[0]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def everything(folder: Path, depth: int = 9) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(path) for path in found if len(path.parts) <= depth)


@pytest.mark.parametrize(
    ("command", "name"),
    [(recovered, name) for name in NAMES.values()]
    + [
        # Whoever records waits 3 s for the first samples.
        pytest.param(command, NAMES[name], marks=[pytest.mark.slow] * (command is recorded))
        for command in (*FILES, *EXPORTS, *FOLDERS)
        for name in HARDEST
    ],
)
def test_any_name(command, name, made, tmp_path, monkeypatch, capsys):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    out = name if command in FOLDERS else f"{name}{ENDINGS.get(command, '.h5')}"
    assert run(command(made, out)) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert (folder / out).exists()
    assert set(everything(tmp_path, 2)) <= {name, f"{name}/{out}", f"{name}/{name}_truth.npz"}
    if command in FILES:
        with open_session(out) as session:
            assert session.name == name
        assert run(["inspect", "--", out]) == 0
        assert "\x1b" not in capsys.readouterr().out
        assert run(["inspect", "--json", "--", out]) == 0
        assert json.loads(capsys.readouterr().out)["streams"]
    if command is recovered:
        arguments = ["process", "--out=results", "--no-report", "--jobs=1", "--", out]
        if name == NAMES["not text"]:
            # Its tables could not hold the session's name.
            assert "cannot be the name" in refusal(arguments, capsys)
        else:
            assert run(arguments) == 0
            assert everything(folder / "results", 1) == [name]


@by_name
def test_places_where_nothing_can_be(command, made, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = everything(tmp_path)
    places = [
        tmp_path / "file" / "below",
        tmp_path / ("m" * 256),
        tmp_path / "loop" / "x.h5",
        Path("/proc/nothing/x"),
        Path("/proc/x.h5"),
        Path(f"{tmp_path}/{'long/' * 1000}x"),
    ]
    # A FIF file gets the ending that MNE asks for, and so stands beside such a file.
    if command is not exported_fif:
        places.append(tmp_path / ("folder.h5" if command in FILES else "file"))
    for place in places:
        message = refusal(command(made, str(place)), capsys)
        assert len(message) < 6000, place
    assert everything(tmp_path) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", FILES, ids=lambda c: c.__name__)
def test_a_missing_folder_of_a_file_is_named(command, made, tmp_path, capsys):
    message = refusal(command(made, str(tmp_path / "missing" / "p.h5")), capsys)
    assert "missing" in message
    assert everything(tmp_path) == []


def test_names_without_text_are_refused_by_the_functions(made, tmp_path):
    out = str(tmp_path / "a\0b")
    for call in (
        lambda: simulate_session(out, time_scale=0.01, streams=("cuff",)),
        lambda: import_recording(made.table, out),
        lambda: recover_session(made.broken, out),
        lambda: process_session(made.session, out_dir=out),
        lambda: import_recording(out, tmp_path / "b.h5"),
        lambda: recover_session(out, tmp_path / "b.h5"),
        lambda: process_session(out, out_dir=tmp_path),
        lambda: open_session(out),
    ):
        with pytest.raises(PhysioError):
            call()
    assert everything(tmp_path) == []


@pytest.mark.parametrize("name", ["..h5", "...h5", ".h5"])
def test_a_session_whose_name_is_another_folder(name, made, tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "a" / "out"
    source.mkdir()
    path = source / name
    path.write_bytes(made.session.read_bytes())
    arguments = ["process", str(path), "--out", str(out), "--no-report", "--jobs", "1"]
    if name == ".h5":
        assert run(arguments) == 0
        assert everything(out, 1) == [".h5"]
    else:
        assert "cannot be the name" in refusal(arguments, capsys)
        assert not (tmp_path / "a").exists()


WORDS = ["../../x", "/abs", "C:\\x. ", " ", "CON\nb", "x" * 300, "\x1b[2J\udce9"]


@pytest.mark.parametrize("word", WORDS)
def test_ids_are_words_and_never_paths(word, made, tmp_path, capsys):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    who = [f"--participant={word}", f"--condition={word}"]
    codes = {
        "import": run([*imported(made, str(place / "i.h5")), *who, f"--dyad={word}"]),
        "simulate": run([*simulated(made, str(place / "s.h5")), f"--participant={word}"]),
    }
    assert set(codes.values()) <= {0, 2}
    for path in place.glob("*.h5"):
        run(["process", str(path), f"--out={place / 'out'}", "--jobs=1", "--no-report"])
    assert "\x1b" not in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    left = {"i.h5", "s.h5", "s_truth.npz", "out"}
    assert {p.name for p in place.iterdir()} <= left
    assert set(everything(place / "out", 1)) <= {"i", "s"}


@pytest.mark.slow
@pytest.mark.parametrize("word", WORDS)
def test_ids_of_a_recording_are_words(word, made, tmp_path, capsys):
    arguments = ["record", str(made.protocol), f"--out={tmp_path / 'r.h5'}", "--no-screen"]
    who = [f"--participant={word}", f"--role={word}", f"--dyad={word}"]
    code = run([*arguments, *who, "--device", "simulator:load=1x50"])
    assert code == (0 if word.strip() and "\udce9" not in word else 2)
    assert "\x1b" not in capsys.readouterr().out
    assert everything(tmp_path) == ([] if code else ["r.h5"])


@contextlib.contextmanager
def as_nobody():
    """Permissions bind: those of an ordinary user, where the tests are run by root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="permissions of a POSIX system")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.slow] * (command is recorded))
        for command in (*FILES, *EXPORTS, *FOLDERS)
    ],
    ids=lambda c: c.__name__,
)
def test_a_folder_that_may_not_be_written_to(command, made, capsys):
    base = Path(tempfile.mkdtemp(prefix="places"))
    try:
        base.chmod(0o755)
        copies = Made(*(Path(shutil.copy(path, base)) for path in made))
        # Once where it is allowed, so that everything is loaded.
        allowed = base / "allowed"
        allowed.mkdir()
        assert run(command(copies, str(allowed / "p.h5"))) == 0
        closed = base / "closed"
        closed.mkdir(mode=0o555)
        (closed / "below").mkdir(mode=0o700)
        with as_nobody():
            message = refusal(command(copies, str(closed / "p.h5")), capsys)
            assert "ermission" in message
            if os.geteuid() == 65534:
                refusal(command(copies, str(closed / "below" / "p.h5")), capsys)
        assert everything(closed) == ["below"]
    finally:
        shutil.rmtree(base)


@pytest.mark.parametrize("to", ["csv", "edf", "fif", "bids"])
@pytest.mark.parametrize("word", ["../../x", "/abs", "two\nlines", "\x1b[2J", "n" * 300])
def test_ids_of_a_session_file_are_no_way_out_of_an_export(word, to, tmp_path, capsys):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    session = place / "p01.h5"
    who = {"participant_id": word, "condition": word, "dyad_id": word, "role": word}
    with SessionWriter(session, **who) as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        writer.append_segment("eda", [5.0, 5.1, 5.2, 5.1] * 8, t_start=0.0)
        writer.add_event(1.0, "marker", word)
    out = place / {"edf": "p.edf", "fif": "p_raw.fif"}.get(to, "out")
    assert run(["export", str(session), "--to", to, f"--out={out}"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert set(everything(tmp_path, 3)) == {"a", "a/b", f"a/b/{out.name}", "a/b/p01.h5"}
    if out.is_dir():
        assert all(path.name.isprintable() for path in out.rglob("*"))


@pytest.mark.parametrize("word", ["../../x", "..", "/abs", "two\nlines", "n" * 300])
def test_names_in_tables_are_no_way_out_of_a_batch_or_study(word, made, tmp_path, capsys):
    place = tmp_path / "a" / "b"
    shutil.copytree(made.session.parent, place)
    for path in place.iterdir():
        if path not in (place / "p01.h5", place / "p02.csv"):
            path.unlink()
    rows = [["source", "session", "participant", "condition"], ["p02.csv", word, word, word]]
    with (place / "mapping.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    out = place / "out"
    arguments = ["batch", str(place), f"--out={out}", f"--mapping={place / 'mapping.csv'}"]
    assert run([*arguments, "--workers=1", "--no-report"]) in (0, 2)
    people = [["id", "condition", "session"], [word, word, word]]
    with (place / "participants.csv").open("w", newline="") as file:
        csv.writer(file).writerows(people)
    run(["study", str(out), f"--participants={place / 'participants.csv'}", "--jobs=1"])
    assert "\x1b" not in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    assert names(place) <= {"p01.h5", "p02.csv", "mapping.csv", "participants.csv", "out"}


SMALL_DISK = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
    "from physio_hqc.cli.main import main; main(sys.argv[1:])"
)


@pytest.mark.skipif(os.name != "posix", reason="limits of a POSIX system")
@pytest.mark.parametrize("command", [simulated, imported, recovered, *EXPORTS, *FOLDERS])
def test_a_disk_that_takes_no_more(command, made, tmp_path):
    arguments = command(made, str(tmp_path / "p.h5"))
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    # Of results the folder that was to hold them may be there.
    left = everything(tmp_path)
    assert left in ([], ["p.h5"][command is not processed :]) or command is exported_bids


def test_links_and_ways_around(made, tmp_path, monkeypatch):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    monkeypatch.chdir(tmp_path / "link")
    assert run(recovered(made, "../way.h5")) == 0
    assert run(["process", "../way.h5", "--out=../a/../out", "--no-report", "--jobs=1"]) == 0
    assert (tmp_path / "real" / "way.h5").exists()
    assert everything(tmp_path / "real" / "out", 1) == ["way"]
    # What stood behind a link stays: the link itself is replaced.
    (tmp_path / "l.h5").symlink_to("real/way.h5")
    before = (tmp_path / "real" / "way.h5").read_bytes()
    assert run([*recovered(made, str(tmp_path / "l.h5"))]) == 2
    assert run([*imported(made, str(tmp_path / "l.h5")), "--overwrite"]) == 0
    assert (tmp_path / "real" / "way.h5").read_bytes() == before


def test_file_times_mean_nothing(made, tmp_path):
    path = tmp_path / "p01.h5"
    shutil.copy(made.session, path)
    out = tmp_path / "out"
    assert not process_session(path, out_dir=out).up_to_date
    for when in (-2_000_000_000, 0, 4_102_444_800):
        for touched in (path, *out.rglob("*")):
            os.utime(touched, (when, when))
        assert process_session(path, out_dir=out).up_to_date
    # Other content of the same time is other content.
    simulate_session(path, seed=2, time_scale=0.02, streams=("cuff",), overwrite=True)
    os.utime(path, (when, when))
    assert not process_session(path, out_dir=out).up_to_date


@pytest.mark.slow
def test_a_wall_clock_that_is_set_back_does_not_reach_the_times(made, tmp_path, monkeypatch):
    real, calls = time.time_ns, iter(range(10**9))
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9 * next(calls))
    monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9)
    out = tmp_path / "r.h5"
    assert run(recorded(made, str(out))) == 0
    with open_session(out) as session:
        assert session.closed
        assert 0 < session.duration < 60
        assert (np.diff(session.events["onset"]) >= 0).all()
        for stream in session.streams.values():
            assert (np.diff(stream.times) > 0).all()


def test_a_session_from_before_1970(tmp_path, capsys):
    path = tmp_path / "old.h5"
    with SessionWriter(path, t0_unix_ns=-(10**18)) as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        # The device's own clock goes backwards in the middle.
        for k in range(40):
            device = k if k < 20 else k - 15
            writer.append("eda", [5.0 + k % 3] * 4, t_received=k + 1.0, t_device=float(device))
    with open_session(path) as session:
        assert session.created_utc.startswith("1938")
        assert (np.diff(session.streams["eda"].times) > 0).all()
    assert run(["inspect", str(path)]) == 0
    assert "1938" in capsys.readouterr().out
    assert run(["process", str(path), f"--out={tmp_path / 'out'}", "--jobs=1"]) == 0


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said
    return process.returncode, said


@pytest.mark.slow
def test_two_processes_at_one_folder(made, tmp_path):
    out = tmp_path / "out"
    pair = [started(*processed(made, str(out))) for _ in range(3)]
    assert [ended(process)[0] for process in pair] == [0, 0, 0]
    assert everything(out, 1) == ["p01"]
    assert process_session(made.session, out_dir=out).up_to_date


@pytest.mark.slow
def test_two_exports_into_one_data_set_with_one_key(made, tmp_path):
    sources = [
        simulate_session(
            tmp_path / f"p{k}.h5", seed=k, time_scale=0.02, streams=("eda",), participant_id=f"P{k}"
        ).path
        for k in range(4)
    ]
    out, key = tmp_path / "dataset", tmp_path / "key.csv"
    how = ("--to", "bids", f"--out={out}", "--deidentify", f"--key={key}")
    running = [started("export", str(source), *how) for source in sources]
    assert [ended(process)[0] for process in running] == [0] * 4
    with key.open(newline="") as file:
        lines = [row for row in csv.DictReader(file) if row["kind"] == "participant"]
    assert {row["original"] for row in lines} >= {"P0", "P1", "P2", "P3"}
    new = {row["replacement"] for row in lines if row["original"] in {"P0", "P1", "P2", "P3"}}
    listed = (out / "participants.tsv").read_text().splitlines()[1:]
    assert {row.split("\t")[0] for row in listed} == {f"sub-{name}" for name in new}
    assert {path.name for path in out.glob("sub-*")} == {f"sub-{name}" for name in new}
    assert not [name for name in everything(tmp_path) if name.split("/")[-1].startswith(".")]


@pytest.mark.slow
def test_two_studies_into_one_folder(tmp_path):
    made = simulate_feature_study(8)
    table, people, out = tmp_path / "f.csv", tmp_path / "p.csv", tmp_path / "out"
    made.features.to_csv(table, index=False)
    made.participants.to_csv(people, index=False)
    arguments = ("study", str(table), f"--participants={people}", f"--out={out}", "--jobs=1")
    running = [started(*arguments, "--no-report") for _ in range(2)]
    assert [ended(process)[0] for process in running] == [0, 0]
    assert (out / "statistics.csv").is_file()
    assert names(tmp_path) == {"f.csv", "p.csv", "out"}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of a POSIX system")
def test_killed_at_any_moment_results_are_whole_or_absent(made, tmp_path):
    draw, out, source = random.Random(0), tmp_path / "out", tmp_path / "p.h5"
    arguments = ("process", str(source), f"--out={out}", "--no-report", "--jobs=1")
    for seed in range(10):
        # Another session each time: there is always all to do.
        simulate_session(source, seed=seed, time_scale=0.05, overwrite=True)
        process = started(*arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0.2, 4.0))
        process.kill()
        process.communicate()
        if (out / "p").exists():
            load_result(out / "p")
    assert ended(started(*arguments))[0] == 0
    assert everything(out, 1) == ["p"]
    assert process_session(source, out_dir=out).up_to_date


@pytest.mark.slow
def test_two_writers_of_one_file(made, tmp_path):
    out = str(tmp_path / "p.h5")
    pair = [started(*imported(made, out)) for _ in range(2)]
    codes = sorted(ended(process)[0] for process in pair)
    assert codes in ([0, 0], [0, 2])
    assert everything(tmp_path) == ["p.h5"]
    with open_session(out) as session:
        assert session.closed


HOLDER = (
    "import sys, time; from pathlib import Path; from physio_hqc.files import locked\n"
    "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
)


@pytest.mark.skipif(os.name != "posix", reason="file locks of a POSIX system")
def test_a_killed_holder_leaves_no_stale_lock(made, tmp_path):
    out = tmp_path / "out"
    folder = out / "p01"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another process"), locked(folder, wait=False):
            pass
        holder.kill()
        holder.wait()
    assert not process_session(made.session, out_dir=out).up_to_date
    assert everything(out, 1) == ["p01"]


def test_a_reader_and_others_while_it_is_written(made, tmp_path, capsys):
    path = tmp_path / "live.h5"
    with SessionWriter(path) as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        writer.append("eda", [5.0] * 8, t_received=2.0)
        writer.flush()
        assert run(["inspect", str(path)]) == 0
        with open_session(path) as session:
            assert session.streams["eda"].n_samples == 8
        for command in (imported, recovered, recorded, simulated):
            refusal(command(made, str(path)), capsys)
        assert "right now" in refusal([*imported(made, str(path)), "--overwrite"], capsys)
    assert everything(tmp_path) == ["live.h5"]
