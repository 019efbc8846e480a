"""The key of de-identified exports."""

import csv
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from physio_hqc.errors import OutputError
from physio_hqc.exporters.key import COLUMNS, SHIFT_DAYS, open_key, refuse_key_inside

HEADER = ",".join(COLUMNS) + "\n"


def lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def test_the_same_id_always_gets_the_same_replacement(tmp_path: Path) -> None:
    path = tmp_path / "key.csv"
    kinds = ("participant", "dyad", "session", "session_id", "label")
    with open_key(path) as key:
        first = {kind: key.replacement(kind, "Mary") for kind in kinds}
        shift = key.shift_days("Mary")
    with open_key(path) as key:
        assert {kind: key.replacement(kind, " Mary ") for kind in kinds} == first
        assert key.shift_days("Mary") == shift
    assert len(set(first.values())) == len(kinds)
    assert all(name.isalnum() for kind, name in first.items() if kind != "session_id")
    assert key.replacement("participant", "") == ""


def test_two_keys_give_different_replacements(tmp_path: Path) -> None:
    told = []
    for name in ("a.csv", "b.csv"):
        with open_key(tmp_path / name) as key:
            told.append([key.replacement("participant", f"P{k}") for k in range(5)])
    assert not set(told[0]) & set(told[1])


def test_participants_have_different_shifts_and_members_of_a_dyad_the_same(tmp_path: Path) -> None:
    with open_key(tmp_path / "key.csv") as key, key.extending():
        alone = [key.shift_days(f"P{k}") for k in range(300)]
        together = [key.shift_days(f"C{k}", f"D{k // 2}") for k in range(20)]
    assert len({*alone, *together}) == 310
    assert together[::2] == together[1::2]
    assert min(alone) >= SHIFT_DAYS[0]
    assert max(alone) <= SHIFT_DAYS[1]


def test_a_session_of_a_dyad_takes_the_shift_of_the_dyad(tmp_path: Path) -> None:
    with open_key(tmp_path / "key.csv") as key:
        of_first, of_second = key.shift_days("A"), key.shift_days("B")
        assert key.shift_days("A", "D") == of_first
        assert key.shift_days("B", "D") == of_first
        assert key.shift_days("B") == of_second


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    path = tmp_path / "key.csv"
    before = os.umask(0)
    try:
        with open_key(path) as key:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            path.chmod(0o644)
            key.replacement("participant", "P1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.csv"]


def test_what_fails_leaves_the_key_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "key.csv"
    with open_key(path) as key:
        with pytest.raises(ValueError, match="no kind"), key.extending():
            key.replacement(key.replacement("participant", "P1"), "P1")
        assert lines(path) == []
        assert key.rows == ()


def test_the_key_shows_no_ids(tmp_path: Path) -> None:
    with open_key(tmp_path / "key.csv") as key:
        key.replacement("participant", "Mary01")
        assert "Mary" not in repr(key)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,name\n", "is no key"),
        (HEADER.replace(",", ";"), "is no key"),
        (HEADER + "participant,A,P1\n", "row 2: 3 columns"),
        (HEADER + "person,A,P1,\n", "row 2: the kind"),
        (HEADER + "participant, ,P1,\n", "row 2: no original"),
        (HEADER + "participant,A,../x,\n", "row 2: a replacement"),
        (HEADER + "participant,A,P1,soon\n", "row 2: shift_days"),
        (HEADER + "label,A,P1,12\n", "row 2: shift_days"),
        (HEADER + "participant,A,P1,\nparticipant,A,P2,\n", "row 3: its original stands twice"),
        (HEADER + "participant,A,P1,\ndyad,B,p1,\n", "row 3: its replacement stands twice"),
        (HEADER + 'participant,"A', "is no key"),
    ],
)
def test_what_is_no_key_is_refused_and_kept(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "key.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=words) as caught, open_key(path):
        pass
    assert "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == content


def test_a_key_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key.csv"
    path.write_text("\ufeff" + HEADER.replace("\n", "\r\n") + "participant,A,Kim,400\r\n", "utf-8")
    with open_key(path) as key:
        assert key.replacement("participant", "A") == "Kim"
        assert key.shift_days("A") == 400


def test_a_key_that_loses_lines_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.csv"
    with open_key(path) as key:
        key.replacement("participant", "A")
        path.write_text(HEADER, encoding="utf-8")
        with pytest.raises(OutputError, match="lost or changed lines"):
            key.replacement("participant", "B")


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), open_key(tmp_path):
        pass


def _draw(path: Path, names: list[str], told: "multiprocessing.Queue[dict[str, str]]") -> None:
    with open_key(path) as key:
        told.put({name: key.replacement("participant", name) for name in names})


def test_processes_that_share_a_key_agree(tmp_path: Path) -> None:
    path, context = tmp_path / "key.csv", multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[dict[str, str]] = context.Queue()
    # Each pair of neighbors shares ten names.
    groups = [[f"P{k}" for k in range(10 * n, 10 * n + 20)] for n in range(3)]
    workers = [context.Process(target=_draw, args=(path, names, told)) for names in groups]
    for worker in workers:
        worker.start()
    answers = [told.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    written = {row[1]: row[2] for row in lines(path)}
    assert len(written) == len(set(written.values())) == 40
    for answer in answers:
        assert answer.items() <= written.items()


def test_a_key_inside_the_export_is_refused(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "shared", tmp_path / "safe"
    for folder in (out / "sub", elsewhere):
        folder.mkdir(parents=True)
    (tmp_path / "way").symlink_to(out)
    (tmp_path / "link.csv").symlink_to(out / "key.csv")
    (out / "link.csv").symlink_to(elsewhere / "key.csv")
    inside = ("shared/key.csv", "shared/sub/key.csv", "way/key.csv", "link.csv", "shared/link.csv")
    for name in (*inside, "safe/../shared/key.csv", "way/sub/../key.csv", "shared"):
        with pytest.raises(OutputError, match="keep the key elsewhere"):
            refuse_key_inside(tmp_path / name, out)
        with pytest.raises(OutputError, match="keep the key elsewhere"):
            refuse_key_inside(tmp_path / name, tmp_path / "way")
    for name in ("safe/key.csv", "key.csv", "shared.csv"):
        refuse_key_inside(tmp_path / name, out)


def test_a_key_inside_an_export_still_to_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="keep the key elsewhere"):
        refuse_key_inside("new/key.csv", "new")
    refuse_key_inside("key.csv", "new")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError), open_key("loop"):
        pass
