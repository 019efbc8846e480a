"""A batch that is interrupted or killed: nobody stays behind, nothing is half, the rest is done."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import psutil
import pytest

N = 30


@pytest.fixture(scope="module")
def lab(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made.make_sessions(tmp_path_factory.mktemp("lab"))
    # So many that there is time to kill, even where this test has to wait for its turn.
    for k in range(4, N):
        os.link(folder / f"week{k % 2}" / f"p{k % 4:02}.h5", folder / f"p{k:02}.h5")
    (folder / "bad.h5").write_text("no session")
    return folder


@pytest.fixture(scope="module")
def whole(lab: Path, made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted batch leaves."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = made.run(lab, "--out", out, "--no-report", "--workers", "2")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: 1 of {N + 1} sessions failed: see ")
    return out


def no_half_tables(out: Path) -> bool:
    """Every table that has its name is whole; sessions have all of theirs or none."""
    for folder in out.iterdir() if out.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            assert (folder / "provenance.json").is_file()
            for table in folder.glob("*.csv"):
                assert len(pd.read_csv(table).columns) > 1
    return True


@pytest.mark.parametrize(
    ("moment", "signals"),
    [
        ("first session", 1),
        pytest.param("first session", 2, marks=pytest.mark.slow),
        pytest.param("workers start", 1, marks=pytest.mark.slow),
        pytest.param("workers start", 2, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_a_kill_leave_nothing_half_and_the_next_run_does_the_rest(
    lab: Path, whole: Path, made: ModuleType, tmp_path: Path, moment: str, signals: int
) -> None:
    out = tmp_path / "out"
    with made.start(lab, "--out", out, "--no-report", "--workers", "2") as process:
        if moment == "workers start":
            assert made.wait_for(lambda: made.workers_of(process.pid))
        else:
            assert made.wait_for(lambda: list(out.glob("p*/provenance.json")))
        workers = made.workers_of(process.pid)
        for _ in range(signals):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        output, message = process.communicate(timeout=60)
    assert process.returncode in ((130,) if signals == 1 else (130, -signal.SIGINT))
    assert output == ""
    assert len(message.splitlines()) <= 1
    assert made.all_gone(workers)
    assert no_half_tables(out)
    assert not (out / "batch.csv").exists()
    # Then killed without warning as it goes on with the rest, and once more from there.
    before = len(list(out.glob("p*")))
    killed(lab, out, made, lambda: len(list(out.glob("p*/provenance.json"))) > before)
    made.run(lab, "--out", out, "--no-report", "--workers", "2")
    assert made.tree(out) == made.tree(whole)
    assert not list(out.rglob(".*"))


def killed(lab: Path, out: Path, made: ModuleType, when: Callable[[], object]) -> None:
    """Start a batch and kill it, without warning, when something is the case."""
    process = made.start(lab, "--out", out, "--no-report", "--workers", "2")
    try:
        made.wait_for(lambda: when() or process.poll() is not None)
        workers = made.workers_of(process.pid)
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert made.all_gone(workers)
    assert no_half_tables(out)


@pytest.mark.slow
def test_killed_when_workers_start_or_while_a_session_is_written(
    lab: Path, whole: Path, made: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed(lab, out, made, lambda: list(out.glob(".batch-*/dask*")))
    killed(lab, out, made, lambda: list(out.glob(".p*.new")))
    made.run(lab, "--out", out, "--no-report", "--workers", "2")
    assert made.tree(out) == made.tree(whole)
    assert not list(out.rglob(".*"))


@pytest.mark.slow
def test_killed_at_many_random_moments(
    lab: Path, whole: Path, made: ModuleType, tmp_path: Path
) -> None:
    chance = random.Random(int(time.time()))
    for number in range(12):
        out = tmp_path / str(number)
        for _ in range(2):
            end = time.monotonic() + chance.uniform(0.5, 6.0)
            killed(lab, out, made, lambda end=end: time.monotonic() > end)
        made.run(lab, "--out", out, "--no-report", "--workers", "2")
        assert made.tree(out) == made.tree(whole)
        assert not list(out.rglob(".*"))
        shutil.rmtree(out)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(
    lab: Path, whole: Path, made: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with made.start(lab, "--out", out, "--no-report", "--workers", "2") as process:
        assert made.wait_for(lambda: list(out.glob("p*/provenance.json")))
        victim = made.workers_of(process.pid)[0]
        victim.kill()
        _, message = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"1 of {N + 1} sessions failed" in message
    assert "nanny" not in message.lower()
    assert made.tree(out) == made.tree(whole)


@pytest.mark.slow
def test_a_second_batch_is_refused_while_one_runs(
    lab: Path, whole: Path, made: ModuleType, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with made.start(lab, "--out", out, "--no-report", "--workers", "1") as process:
        assert made.wait_for(lambda: made.workers_of(process.pid))
        second = made.run(lab, "--out", out, "--no-report")
        process.communicate(timeout=120)
    assert second.returncode == 2
    assert len(second.stderr.splitlines()) == 1
    assert "another batch is writing into" in second.stderr
    assert made.tree(out) == made.tree(whole)


@pytest.mark.slow
def test_the_memory_of_a_worker_stays_flat(made: ModuleType, tmp_path: Path) -> None:
    from physio_hqc.simulate import simulate_session

    lab, out = tmp_path / "lab", tmp_path / "out"
    lab.mkdir()
    first = simulate_session(lab / "p000.h5", seed=1).path
    for k in range(1, 120):
        os.link(first, lab / f"p{k:03}.h5")
    measured: list[tuple[int, int]] = []
    with made.start(lab, "--out", out, "--no-report", "--workers", "1") as process:
        while process.poll() is None:
            done = len(list(out.glob("p*"))) if out.is_dir() else 0
            for worker in made.workers_of(process.pid):
                try:
                    measured.append((done, worker.memory_info().rss))
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.2)
        process.communicate(timeout=60)
    assert process.returncode == 0
    early = max(rss for done, rss in measured if 5 <= done < 40)
    late = max(rss for done, rss in measured if done >= 80)
    assert late < early + 30e6
    assert late < 600e6
