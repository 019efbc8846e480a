"""A cluster that runs already: the same bytes, it is left running, and what may happen to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from physio_hqc.errors import OutputError
from physio_hqc.pipeline import PipelineConfig, batch, process_batch
from physio_hqc.pipeline._batch_worker import Plan, UnfitWorkerError, check, versions

pytestmark = pytest.mark.slow
N = 30


@pytest.fixture(scope="module")
def lab(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made.make_sessions(tmp_path_factory.mktemp("lab"))
    for k in range(4, N):
        os.link(folder / f"week{k % 2}" / f"p{k % 4:02}.h5", folder / f"p{k:02}.h5")
    return folder


@pytest.fixture(scope="module")
def whole(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What workers of our own leave."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert process_batch(lab, out, workers=2).n_done == N
    return out


@dataclass
class Cluster:
    """A scheduler and workers on the loopback interface, started by hand."""

    folder: Path
    wait_for: Callable[[Callable[[], object]], bool]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    def _start(self, module: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1"]
        self.processes.append(
            subprocess.Popen(
                [*command, "--no-dashboard", "--scheduler-file", str(self.file), *options],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self.folder,
            )
        )
        return self.processes[-1]

    def scheduler(self) -> str:
        self._start("dask_scheduler", "--port", "0")
        assert self.wait_for(lambda: self.file.is_file() and self.file.stat().st_size)
        return json.loads(self.file.read_text())["address"]

    def worker(self, threads: int = 1) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", "--nthreads", str(threads))


@pytest.fixture
def cluster(made: ModuleType, tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path, made.wait_for)
    yield found
    family = [
        member
        for process in found.processes
        if process.poll() is None
        for member in psutil.Process(process.pid).children(recursive=True)
    ]
    for process in reversed(found.processes):
        process.kill()
        process.wait(timeout=30)
    for member in family:
        if member.is_running():
            member.kill()
    assert made.all_gone(family)


def test_the_same_bytes_from_workers_of_several_threads_and_one_that_comes_late(
    lab: Path, whole: Path, cluster: Cluster, made: ModuleType, tmp_path: Path
) -> None:
    address, out = cluster.scheduler(), tmp_path / "out"

    def told(text: str) -> None:
        notices.append(text)
        if text == "waiting for workers":
            cluster.worker(threads=2)
            cluster.worker()

    notices: list[str] = []
    result = process_batch(lab, out, scheduler=address, on_notice=told)
    assert result.n_done == N
    assert made.tree(out) == made.tree(whole)
    assert notices[0] == "waiting for workers"
    # Whichever came first: the one of two threads is noticed if it was there at the start.
    assert all("several threads" in notice for notice in notices[1:])
    again = process_batch(lab, out, scheduler=str(cluster.file))
    assert again.n_up_to_date == N
    assert any("several threads" in notice for notice in again.notices)
    assert all(process.poll() is None for process in cluster.processes)


def test_ctrl_c_leaves_the_cluster_running(
    lab: Path, whole: Path, cluster: Cluster, made: ModuleType, tmp_path: Path
) -> None:
    address, out = cluster.scheduler(), tmp_path / "out"
    cluster.worker()
    with made.start(lab, "--out", out, "--no-report", "--scheduler", address) as process:
        assert made.wait_for(lambda: list(out.glob("p*/provenance.json")))
        os.killpg(process.pid, signal.SIGINT)
        output, message = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert len(message.splitlines()) <= 1
    assert not (out / "batch.csv").exists()
    assert process_batch(lab, out, scheduler=address).n_done == N
    assert made.tree(out) == made.tree(whole)
    assert not list(out.rglob(".*"))


def test_a_scheduler_that_dies_is_one_line_and_the_rest_can_be_done(
    lab: Path, whole: Path, cluster: Cluster, made: ModuleType, tmp_path: Path
) -> None:
    address, out = cluster.scheduler(), tmp_path / "out"
    cluster.worker()
    with made.start(lab, "--out", out, "--no-report", "--scheduler", address) as process:
        assert made.wait_for(lambda: list(out.glob("p*/provenance.json")))
        cluster.processes[0].kill()
        output, message = process.communicate(timeout=120)
    assert (process.returncode, output) == (2, "")
    assert message.startswith(f"error: the Dask scheduler at {address} is gone")
    assert len(message.splitlines()) == 1
    assert process_batch(lab, out, workers=2).n_done == N
    assert made.tree(out) == made.tree(whole)


def test_a_worker_that_dies_costs_nothing(
    lab: Path, whole: Path, cluster: Cluster, made: ModuleType, tmp_path: Path
) -> None:
    address, out = cluster.scheduler(), tmp_path / "out"
    cluster.worker()
    cluster.worker()
    killed = []

    def done(_: object) -> None:
        if not killed:
            killed.extend(made.workers_of(cluster.processes[1].pid))
            for worker in killed:
                worker.kill()

    assert process_batch(lab, out, scheduler=address, on_result=done).n_done == N
    assert killed
    assert made.tree(out) == made.tree(whole)


def test_workers_of_other_versions_are_refused(
    lab: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = cluster.scheduler()
    cluster.worker()
    monkeypatch.setattr(batch, "versions", lambda: {**versions(), "physio_hqc": "99.0"})
    with pytest.raises(OutputError, match=r"has physio_hqc .*, this batch 99\.0: install") as error:
        process_batch(lab, tmp_path / "out", scheduler=address)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("*"))


def test_a_worker_that_does_not_see_the_folders_says_so(lab: Path, tmp_path: Path) -> None:
    permit = tmp_path / "permit"
    permit.touch()
    plan = Plan(lab, tmp_path, PipelineConfig(), None, permit, versions())
    for unseen in (
        replace(plan, permit=tmp_path / "there" / "permit"),
        replace(plan, folder=tmp_path / "there" / "lab"),
        replace(plan, base=tmp_path, config=PipelineConfig(protocol="there.yaml")),
    ):
        with pytest.raises(UnfitWorkerError, match=r"does not see .*there"):
            check(unseen)
    check(plan)
