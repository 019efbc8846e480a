"""Many sessions: the same bytes always, one bad session stops none, mapping of vendor files."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from physio_hqc import open_session, process_session
from physio_hqc.errors import ConfigError, OutputError, PhysioError, SessionFileError
from physio_hqc.files import locked
from physio_hqc.pipeline import PipelineConfig, process_batch
from physio_hqc.pipeline._batch_import import _identity
from physio_hqc.pipeline._batch_sources import Source, Vendor
from physio_hqc.protocol import load_protocol
from physio_hqc.session import SessionWriter

HEADER = "session,participant,condition,source,status,reason"


@pytest.fixture(scope="module")
def lab(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sessions, and what may lie among them."""
    folder = made.make_sessions(tmp_path_factory.mktemp("lab"))
    (folder / "week0" / "bad.h5").write_text("no session")
    (folder / ".hidden.h5").write_text("hidden")
    (folder / ".cache").mkdir()
    shutil.copy(folder / "week0" / "p00.h5", folder / ".cache" / "p77.h5")
    return folder


@pytest.fixture(scope="module")
def one_worker(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one") / "out"
    result = process_batch(lab, out, workers=1)
    assert (result.n_done, result.n_failed, result.n_up_to_date) == (4, 1, 0)
    return out


def test_every_session_is_as_processing_it_alone_leaves_it(
    lab: Path, one_worker: Path, made: ModuleType, tmp_path: Path
) -> None:
    for path in sorted(lab.glob("week*/p*.h5")):
        process_session(path, out_dir=tmp_path)
    alone = made.tree(tmp_path)
    batch = made.tree(one_worker)
    assert set(batch) - set(alone) == {"batch.csv", "batch.json"}
    assert {name: batch[name] for name in alone} == alone


def test_the_table_tells_of_every_session_in_order(one_worker: Path) -> None:
    lines = (one_worker / "batch.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[1].startswith("bad,,,week0/bad.h5,failed,")
    assert str(one_worker.parent.parent) not in lines[1]
    assert lines[2:] == [
        f"p{k:02},P{k:02},{('alone', 'support')[k % 2]},week{k % 2}/p{k:02}.h5,done,"
        for k in range(4)
    ]


def test_two_workers_leave_the_same_bytes(
    lab: Path, one_worker: Path, made: ModuleType, tmp_path: Path
) -> None:
    seen = []
    result = process_batch(
        lab, tmp_path / "out", workers=2, on_start=seen.append, on_result=seen.append
    )
    assert made.tree(tmp_path / "out") == made.tree(one_worker)
    assert seen[0] == 5
    assert sorted(done.session for done in seen[1:]) == list(result.table["session"])


def test_what_is_up_to_date_is_left_alone_and_leftovers_of_killed_runs_are_gone(
    lab: Path, one_worker: Path, made: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(one_worker, out)
    (out / "p01" / "beats.csv").write_text("changed\n")
    shutil.rmtree(out / "p02")
    untouched = (out / "p03" / "features.csv").stat().st_mtime_ns
    (out / "p00").rename(out / ".p00.old")  # killed between the two renames
    for name in (".p01.new", ".p03.old", ".batch-0123456789ab"):
        (out / name).mkdir()
        (out / name / "file").touch()
    for name in (".p03.lock", ".batch.csv.lock", ".batch.csv.01234567.part"):
        (out / name).touch()
    (out / "imported").mkdir()
    (out / "imported" / ".p00.h5.4711.part").touch()
    (out / ".notes.old").touch()
    (out / "notes.txt").touch()
    assert process_batch(lab, out, workers=1).n_up_to_date == 2
    assert (out / "p03" / "features.csv").stat().st_mtime_ns == untouched
    there, whole = made.tree(out), made.tree(one_worker)
    assert set(there) - set(whole) == {".notes.old", "notes.txt"}
    assert {name: there[name] for name in whole} == whole
    assert {p.name for p in out.iterdir() if p.name.startswith(".")} == {".notes.old"}


@pytest.mark.slow
def test_a_failure_tells_of_older_results_and_an_orphan_is_noticed(
    lab: Path, one_worker: Path, tmp_path: Path
) -> None:
    own, out = tmp_path / "lab", tmp_path / "lab" / "derivatives"
    shutil.copytree(lab, own)
    shutil.copytree(one_worker, out)
    (own / "week0" / "p00.h5").write_bytes(b"broken")
    (own / "week1" / "p01.h5").unlink()
    told: list[str] = []
    result = process_batch(own, out, workers=1, on_notice=told.append)
    reasons = dict(zip(result.table["session"], result.table["reason"], strict=True))
    assert reasons["p00"].endswith("; the results of an earlier run are still there")
    assert "earlier" not in reasons["bad"]
    assert "p01" not in reasons
    assert told == list(result.notices)
    assert "p01" in told[0]


def bug(path: Path, result: object, page: Path) -> None:
    """A report with a bug, and one that ends its worker."""
    if path.stem == "p01":
        raise ZeroDivisionError("of ours")
    if path.stem == "p02":
        os.kill(os.getpid(), signal.SIGKILL)


def greedy(path: Path, result: object, page: Path) -> None:
    """A session that needs a gigabyte, for as long as it takes somebody to notice."""
    if path.stem == "p01":
        held = np.ones(125_000_000)
        for _ in range(1200):
            held += 1  # memory at rest may be swapped out, and then counts no more
            time.sleep(0.1)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """This module under a name that workers find."""
    place = tmp_path / "modules"
    place.mkdir()
    shutil.copy(__file__, place / "reports_of_batch.py")
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", str(place))
    import reports_of_batch

    yield reports_of_batch
    del sys.modules["reports_of_batch"]


@pytest.mark.slow
def test_bugs_and_dying_workers_are_listed_and_stop_nothing(
    lab: Path, importable: ModuleType, tmp_path: Path
) -> None:
    result = process_batch(lab, tmp_path / "out", workers=2, report=importable.bug)
    reasons = dict(zip(result.table["session"], result.table["reason"], strict=True))
    assert reasons["p00"] == reasons["p03"] == ""
    assert reasons["p01"].startswith(
        "internal error: ZeroDivisionError: of ours (reports_of_batch.py"
    )
    assert "died" in reasons["p02"]
    assert result.n_failed == 3


def deadly(path: Path, result: object, page: Path) -> None:
    """Two sessions that end the worker that does them."""
    if path.stem in ("p00", "p01"):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_what_waits_behind_a_session_that_kills_is_not_blamed(
    lab: Path, importable: ModuleType, tmp_path: Path
) -> None:
    result = process_batch(lab, tmp_path / "out", workers=2, report=importable.deadly)
    failed = result.table.loc[result.table["status"] == "failed", "session"].tolist()
    assert failed == ["bad", "p00", "p01"]


@pytest.mark.slow
def test_a_session_that_needs_too_much_memory_fails_for_that_reason(
    lab: Path, importable: ModuleType, tmp_path: Path
) -> None:
    result = process_batch(
        lab, tmp_path / "out", workers=2, memory_limit="600MB", report=importable.greedy
    )
    reasons = dict(zip(result.table["session"], result.table["reason"], strict=True))
    assert reasons["p01"].startswith("it needs more memory than a worker may use (0.6 GB)")
    assert reasons["p00"] == reasons["p02"] == reasons["p03"] == ""


def test_a_second_batch_in_the_same_folder_is_refused(lab: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "batch.csv"),
        pytest.raises(OutputError, match="another batch is writing into"),
    ):
        process_batch(lab, tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"scheduler": "tcp://127.0.0.1:9", "workers": 2}, "running cluster"),
        ({"memory_limit": "2 apples"}, "write it like 2GB"),
        ({"memory_limit": "10MB"}, "needs 500 MB"),
        ({"workers": 0}, "at least 1"),
        ({"scheduler": "nonsense://"}, "no Dask scheduler answers"),
        ({"scheduler": "missing.json"}, "no such scheduler file"),
        ({"config": "no_such_config"}, "no_such_config"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(
    lab: Path, tmp_path: Path, options: dict[str, object], match: str
) -> None:
    with pytest.raises(PhysioError, match=match) as caught:
        process_batch(lab, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


def test_names_that_clash_are_refused(lab: Path, tmp_path: Path) -> None:
    shutil.copytree(lab, tmp_path / "lab")
    shutil.copy(lab / "week0" / "p00.h5", tmp_path / "lab" / "p00.h5")
    with pytest.raises(OutputError, match=r"p00\.h5 and week0/p00\.h5 are both"):
        process_batch(tmp_path / "lab", tmp_path / "out")
    (tmp_path / "lab" / "p00.h5").rename(tmp_path / "lab" / "study.h5")
    with pytest.raises(OutputError, match=r"study\.h5: .* may not be called 'study'"):
        process_batch(tmp_path / "lab", tmp_path / "out")


def test_a_folder_without_sessions_is_refused(lab: Path, tmp_path: Path) -> None:
    for folder, match in (
        (tmp_path, "no session files"),
        (tmp_path / "missing", "no such folder"),
        (lab / "week0" / "p00.h5", "is a file"),
    ):
        with pytest.raises(SessionFileError, match=match):
            process_batch(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="No such file"):
        process_batch(lab, tmp_path / "out", mapping=tmp_path / "missing.csv")


def test_results_that_cannot_be_written_are_refused(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file.* cannot be written"):
        process_batch(lab, tmp_path / "file" / "out")
    with pytest.raises(OutputError, match=r"file.* cannot be written"):
        process_batch(lab, tmp_path / "file")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(OutputError, match="cannot be written"):
        process_batch(lab, closed)


def test_odd_names_other_files_and_a_recording_that_goes_on(
    lab: Path, made: ModuleType, tmp_path: Path
) -> None:
    own = tmp_path / "Labor Köln [1]"
    own.mkdir()
    shutil.copy(lab / "week0" / "p00.h5", own / "Ä b.h5")
    (own / "participants.csv").write_text("participant\nP00\n")
    (own / "protokoll.yaml").write_text(load_protocol("lepore_1993").to_yaml())
    config = PipelineConfig(protocol=os.path.relpath(own / "protokoll.yaml"))
    with SessionWriter(own / "now.h5", participant_id="P09") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=250.0)
        writer.append_segment("ecg", made.beats(), t_start=0.0)
        writer.flush()
        first = process_batch(own, own, workers=2, config=config)  # DIR is FOLDER
        assert not first.n_failed, first.table["reason"].tolist()
        assert any("now: " in notice and "recorded" in notice for notice in first.notices)
    again = process_batch(own, own, workers=1, config=config)
    assert first.table["session"].tolist() == again.table["session"].tolist() == ["now", "Ä b"]
    assert not again.notices
    with pytest.raises(ConfigError, match="nowhere"):
        process_batch(own, own, config=PipelineConfig(protocol="nowhere.yaml"))


# --- vendor files --------------------------------------------------------------------------------


def table_of_samples(path: Path) -> None:
    rows = "\n".join(f"{i / 50},{(i % 50 == 3) * 1.0},{5 + i / 1000}" for i in range(3000))
    path.write_text(f"time (s),Herz (mV),Haut (uS)\n{rows}\n")


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    folder = tmp_path / "vendor"
    (folder / "files").mkdir(parents=True)
    table_of_samples(folder / "files" / "A.csv")
    (folder / "files" / "A_events.csv").write_text(
        "onset,duration,kind,label\n0,30,phase,baseline\n30,30,phase,speech\n"
    )
    (folder / "mapping.csv").write_text(
        "source,session,participant,condition,map,events,protocol\n"
        "files/A.csv,v01,V01,support,Herz=ecg; Haut=eda,files/A_events.csv,lepore_1993\n"
        "files/missing.edf,v02,V02,alone,,,\n"
    )
    return folder


def test_vendor_files_are_imported_once_and_again_when_they_change(
    vendor: Path, tmp_path: Path
) -> None:
    out, mapping = tmp_path / "out", vendor / "mapping.csv"
    first = process_batch(vendor, out, mapping=mapping, workers=1)
    assert first.table.values.tolist()[0] == ["v01", "V01", "support", "files/A.csv", "done", ""]
    assert first.table["status"].tolist() == ["done", "failed"]
    assert first.table["participant"].tolist() == ["V01", "V02"]
    with open_session(out / "imported" / "v01.h5") as session:
        assert set(session.streams) == {"ecg", "eda"}
        assert list(session.windows("phase")["label"]) == ["baseline", "speech"]
    events = vendor / "files" / "A_events.csv"
    events.write_text(events.read_text().replace("speech", "talking"))
    assert process_batch(vendor, out, mapping=mapping, workers=1).n_up_to_date == 0
    with open_session(out / "imported" / "v01.h5") as session:
        assert list(session.windows("phase")["label"]) == ["baseline", "talking"]


@pytest.mark.slow
def test_vendor_files_leave_the_same_bytes_every_time(
    vendor: Path, made: ModuleType, tmp_path: Path
) -> None:
    out, mapping = tmp_path / "out", vendor / "mapping.csv"
    process_batch(vendor, out, mapping=mapping, workers=1)
    process_batch(vendor, tmp_path / "again", mapping=mapping, workers=2)
    assert made.tree(tmp_path / "again") == made.tree(out)
    kept = (out / "imported" / "v01.h5").stat().st_mtime_ns
    assert process_batch(vendor, out, mapping=mapping, workers=1).n_up_to_date == 1
    assert (out / "imported" / "v01.h5").stat().st_mtime_ns == kept


@pytest.mark.parametrize("changed", ["B.vhdr", "B.vmrk", "B.eeg", "E.edf"])
def test_every_file_of_a_recording_counts(made: ModuleType, tmp_path: Path, changed: str) -> None:
    made.make_brainvision(tmp_path)
    made.make_edf(tmp_path / "E.edf")
    source = Source("s", tmp_path / f"{changed[0]}{'.edf' if changed[0] == 'E' else '.vhdr'}", "s")
    before = _identity(source.path, Vendor())
    assert _identity(source.path, Vendor()) == before
    content = bytearray((tmp_path / changed).read_bytes())
    content[-1] ^= 1
    (tmp_path / changed).write_bytes(content)
    assert _identity(source.path, Vendor()) != before


@pytest.mark.slow
def test_edf_and_brainvision_go_all_the_way(made: ModuleType, tmp_path: Path) -> None:
    made.make_brainvision(tmp_path)
    made.make_edf(tmp_path / "E.edf")
    (tmp_path / "mapping.csv").write_text(
        "source\tsession\tmap\nB.vhdr\tvision\tECG=ecg\nE.edf\tedf\tECG=ecg\n"
    )
    result = process_batch(tmp_path, tmp_path / "o", mapping=tmp_path / "mapping.csv", workers=2)
    assert result.table["reason"].tolist() == ["", ""]
    for name in ("vision", "edf"):
        with open_session(tmp_path / "o" / "imported" / f"{name}.h5") as session:
            assert set(session.streams) == {"ecg"}


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("sorce\nA.csv\n", "line 1: unknown column 'sorce'; did you mean 'source'"),
        ("session\nA\n", "'source' is missing"),
        ("source,source\na,b\n", "appears twice"),
        ("source\n../../etc/passwd\n", "line 2: source .* leaves the folder"),
        ("source,events\nA.csv,../x.csv\n", "events .* leaves the folder"),
        ("source,session\nA.csv,../up\n", "cannot be the name of a folder"),
        ("source,session\nA.csv,/tmp/up\n", "cannot be the name of a folder"),
        ("source,session\nA.csv,..\n", "cannot be the name of a folder"),
        ("source,session\nA.csv,p\u202e01\n", "cannot be the name of a folder"),
        ("source,session\nA.csv,x\nB.csv,x\n", r"A\.csv and B\.csv are both the session 'x'"),
        ("source,protocol\nA.csv,../p.yaml\n", "protocol .* leaves the folder"),
        ("source,session\nA.csv,.hidden\n", "cannot be the name of a folder"),
        ("source,session\nA.csv,imported\n", "may not be called 'imported'"),
        ("source,map\nA.csv,ECG\n", "write it as CHANNEL=stream"),
        ("source,sfreq\nA.csv,fast\n", "'fast' is no rate"),
        ("source,sfreq\nA.csv,nan\n", "'nan' is no rate"),
        ("source,protocol\nA.csv,none_such\n", "line 2: protocol: .*none_such"),
        ("source\nA.csv,B\n", "line 2: 2 cells"),
        ("source,session\n,x\n", "source is empty"),
        ("source\nA.csv\nsub/A.csv\n", r"A\.csv and sub/A\.csv are both the session 'A'"),
    ],
)
def test_a_wrong_mapping_is_refused_at_the_start(tmp_path: Path, table: str, match: str) -> None:
    (tmp_path / "mapping.csv").write_text(table)
    with pytest.raises((ConfigError, OutputError), match=match) as caught:
        process_batch(tmp_path, tmp_path / "out", mapping=tmp_path / "mapping.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_real_vendor_files_go_all_the_way(shared_data: Path, tmp_path: Path) -> None:
    records = sorted((shared_data / "mitbih").rglob("*.hea"))[:1]
    if not records:
        pytest.skip("no WFDB record in ../shared/data")
    (tmp_path / "mapping.csv").write_text(
        f"source;session;participant;condition\n{records[0]};r1;R1;alone\n"
    )
    out = tmp_path / "out"
    result = process_batch(tmp_path, out, mapping=tmp_path / "mapping.csv", workers=1)
    assert result.table["status"].tolist() == ["done"], result.table["reason"].tolist()
    assert (out / "r1" / "beats.csv").stat().st_size > 1000
