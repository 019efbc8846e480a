"""Measure the batch: speed on one and two workers, linear cost, memory, the same bytes everywhere.

    python scripts/benchmark_batch.py             # 300 sessions of 30 minutes, about 15 minutes
    python scripts/benchmark_batch.py --quick     # 24 sessions of 5 minutes

The sessions are simulated (ECG 250 Hz, pressure 100 Hz, EDA 32 Hz, cuff), every one with its own
seed. Each run is the command `physio-hqc batch` in a process of its own, as a user starts it; the
time counts from there to its end, with the start of the workers. The last run goes to a cluster
that was started by hand on this machine (`dask scheduler`, `dask worker`) and is reached by its
address; Dask's profiler, which keeps call stacks for an hour, is off there as it is in our own
workers. Prints what was measured beside what is to be reached, and writes it to a JSON file. The
exit code is 1 when anything is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from physio_hqc.parallel import run_parallel
from physio_hqc.protocol import load_protocol
from physio_hqc.simulate import simulate_session

PROTOCOL = "lepore_1993"
LEAST_EFFICIENCY = 0.9
MOST_OFF_THE_LINE = 0.1
MOST_GROWTH_MB = 20.0
_EVERY_S = 0.1
_MB = 1e6


@dataclass(frozen=True)
class Run:
    """One run of the batch: what it was asked, and what it took."""

    name: str
    sessions: int
    workers: int
    seconds: float
    peak_mb: float  # of the largest worker
    growth_mb: float  # of a worker, over the second half of the run
    main_mb: float  # peak of the process that was started
    tree: str  # hash of everything it left

    @property
    def per_minute(self) -> float:
        """Sessions per minute."""
        return 60 * self.sessions / self.seconds


@dataclass(frozen=True)
class Verdict:
    """One figure beside what is to be reached."""

    what: str
    measured: str
    wanted: str
    reached: bool


def main() -> int:
    """Simulate, run, compare; 0 if everything is reached."""
    given = _arguments()
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with tempfile.TemporaryDirectory(prefix="physio_hqc_batch_") as temporary:
        folder = Path(given.folder or temporary)
        sizes = sorted({max(2, given.sessions // 10), max(3, given.sessions // 3), given.sessions})
        sessions = _simulated(folder / "sessions", given.sessions, given.minutes, given.workers)
        runs = _runs(sessions, folder, sizes, given.workers, console)
    verdicts = _verdicts(runs, sizes, given.workers)
    _show(console, runs, verdicts, sizes, given)
    return 0 if all(verdict.reached for verdict in verdicts) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=300, help="number of sessions (300)")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of a session (30)")
    parser.add_argument("--workers", type=int, default=2, help="workers beside one (2)")
    parser.add_argument("--folder", help="keep sessions and results here, and use them again")
    parser.add_argument("--out", default="benchmark_batch.json", help="the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="24 sessions of 5 minutes")
    given = parser.parse_args()
    if given.quick:
        given.sessions, given.minutes = 24, 5.0
    return given


def _simulated(folder: Path, n: int, minutes: float, jobs: int) -> list[Path]:
    """Make the sessions that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    planned_s = sum(phase.duration_s or 0.0 for phase in load_protocol(PROTOCOL).phases)
    conditions = ("alone", "support", "nonsupport")
    paths = [folder / f"P{number:04d}.h5" for number in range(1, n + 1)]
    calls = [
        (path, seed, conditions[seed % 3], 60 * minutes / planned_s)
        for seed, path in enumerate(paths)
        if not path.exists()
    ]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating", total=len(calls))
        run_parallel(_simulate, calls, jobs, lambda *_: progress.advance(task))
    return paths


def _simulate(path: Path, seed: int, condition: str, time_scale: float) -> None:
    about = {"condition": condition, "participant_id": path.stem, "time_scale": time_scale}
    simulate_session(path, seed=seed, **about).truth_path.unlink(missing_ok=True)


def _runs(
    sessions: Sequence[Path], folder: Path, sizes: Sequence[int], workers: int, console: Console
) -> list[Run]:
    """Every run, one after the other, on an otherwise idle machine."""
    runs = []
    for name, n, count in _plan(sizes, workers):
        with _subset(sessions[:n], folder) as source:
            out = folder / "derivatives"
            if name == "cluster":
                with _cluster(count) as address:
                    run = _measured(name, source, out, n, count, "--scheduler", address)
            else:
                run = _measured(name, source, out, n, count, "--workers", str(count))
        console.print(f"{name}: {n} sessions, {count} workers, {run.seconds:.1f} s")
        runs.append(run)
        shutil.rmtree(out)
    return runs


def _plan(sizes: Sequence[int], workers: int) -> Iterator[tuple[str, int, int]]:
    """Name, number of sessions and of workers of every run.

    One worker stands between two runs of several, so that a machine that slows down does not
    decide the comparison.
    """
    for n in sizes[:-1]:
        yield "local", n, workers
    yield "local", sizes[-1], workers
    yield "local", sizes[-1], 1
    yield "again", sizes[-1], workers
    yield "cluster", sizes[-1], workers


@contextmanager
def _subset(sessions: Sequence[Path], folder: Path) -> Iterator[Path]:
    """A folder of only these sessions."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for path in sessions:
            os.link(path, Path(name) / path.name)
        yield Path(name)


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """A cluster as somebody starts one by hand; yields its address."""
    with tempfile.TemporaryDirectory(prefix="physio_hqc_dask_") as name:
        card = Path(name) / "scheduler.json"
        started = [_dask("scheduler", "--host", "127.0.0.1", "--port", "0",
                         "--no-dashboard", "--scheduler-file", str(card))]  # fmt: skip
        try:
            while not card.exists() or not card.read_text():
                time.sleep(0.1)
            address = json.loads(card.read_text())["address"]
            started += [
                _dask("worker", address, "--nthreads", "1", "--no-dashboard",
                      "--host", "127.0.0.1", "--local-directory", name)
                for _ in range(workers)
            ]  # fmt: skip
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(timeout=30)


def _dask(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", *arguments]
    settings = {**os.environ, "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=settings
    )


def _measured(name: str, source: Path, out: Path, n: int, workers: int, *how: str) -> Run:
    """Run the command and watch its processes."""
    asked = ["batch", source, "--out", out, "--no-report", *how]
    command = [sys.executable, "-m", "physio_hqc", *asked]
    watched = psutil.Process()
    began = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    sizes: dict[int, list[float]] = {}
    watcher = threading.Thread(target=_watch, args=(watched, process, sizes))
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - began
    watcher.join()
    if code:
        raise SystemExit(f"the batch ended with {code}: {' '.join(map(str, command))}")
    main_mb = max(sizes.pop(process.pid, [0.0]))
    # Workers are the large ones; a nanny or a resource tracker stays small.
    large = [np.array(each) for each in sizes.values() if max(each) > 100 and len(each) > 20]
    return Run(
        name=name,
        sessions=n,
        workers=workers,
        seconds=seconds,
        peak_mb=max((each.max() for each in large), default=0.0),
        growth_mb=max((_growth(each) for each in large), default=0.0),
        main_mb=main_mb,
        tree=_hash(out),
    )


def _watch(
    parent: psutil.Process, process: subprocess.Popen[bytes], sizes: dict[int, list[float]]
) -> None:
    """Note the resident memory of every process below `parent`, in MB, until `process` ends."""
    while process.poll() is None:
        for child in parent.children(recursive=True):
            try:
                sizes.setdefault(child.pid, []).append(child.memory_info().rss / _MB)
            except psutil.Error:
                continue
        time.sleep(_EVERY_S)


def _growth(sizes: np.ndarray) -> float:
    """Highest memory in the last quarter of a run, less that in the second quarter."""
    quarter = len(sizes) // 4
    return float(sizes[-quarter:].max() - sizes[quarter : 2 * quarter].max())


def _hash(folder: Path) -> str:
    """Hash of the names and bytes of everything in a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _verdicts(runs: Sequence[Run], sizes: Sequence[int], workers: int) -> list[Verdict]:
    """Compare with what is to be reached."""
    full = [run for run in runs if run.sessions == sizes[-1]]
    alone = next(run for run in full if run.workers == 1)
    several = [run for run in full if run.workers == workers and run.name != "cluster"]
    efficiency = alone.seconds / (workers * np.mean([run.seconds for run in several]))
    fixed, each, off = _line(runs, workers)
    growth = max(run.growth_mb for run in full)
    same = len({run.tree for run in full}) == 1
    cores = psutil.cpu_count(logical=False) or 1
    return [
        Verdict(
            f"parallel efficiency of {workers} workers ({cores} cores)",
            f"{efficiency:.2f}",
            f">= {LEAST_EFFICIENCY}",
            bool(efficiency >= LEAST_EFFICIENCY),
        ),
        Verdict(
            f"cost of {', '.join(map(str, sizes))} sessions: {fixed:.1f} s + {each:.3f} s each",
            f"{100 * off:.1f} % off the line",
            f"<= {100 * MOST_OFF_THE_LINE:.0f} %",
            off <= MOST_OFF_THE_LINE,
        ),
        Verdict(
            "memory of a worker, last quarter against the second",
            f"{growth:+.0f} MB",
            f"<= {MOST_GROWTH_MB:.0f} MB",
            growth <= MOST_GROWTH_MB,
        ),
        Verdict(
            f"the same bytes: 1 worker, {workers} workers, again, cluster by address",
            "the same" if same else "different",
            "the same",
            same,
        ),
    ]


def _line(runs: Sequence[Run], workers: int) -> tuple[float, float, float]:
    """Fixed seconds, seconds per session, and the largest relative distance from that line."""
    used = [run for run in runs if run.workers == workers and run.name == "local"]
    n = np.array([run.sessions for run in used], dtype=float)
    seconds = np.array([run.seconds for run in used])
    # Weighted by 1 / seconds: the small runs count as much as the large one.
    each, fixed = np.polyfit(n, seconds, 1, w=1 / seconds)
    off = np.abs((fixed + each * n) / seconds - 1).max()
    return float(fixed), float(each), float(off)


def _show(
    console: Console,
    runs: Sequence[Run],
    verdicts: Sequence[Verdict],
    sizes: Sequence[int],
    given: argparse.Namespace,
) -> None:
    """Print the tables and write them."""
    names = ("run", "sessions", "workers", "s", "sessions/min", "worker MB", "growth MB", "main MB")
    table = Table(*names, title=f"{sizes[-1]} sessions of {given.minutes:g} minutes")
    for run in runs:
        numbers = (run.seconds, run.per_minute, run.peak_mb, run.growth_mb, run.main_mb)
        table.add_row(
            run.name, str(run.sessions), str(run.workers), *(f"{value:.1f}" for value in numbers)
        )
    console.print(table)
    judged = Table("what", "measured", "to be", "", title="To be reached")
    for verdict in verdicts:
        word = "reached" if verdict.reached else "MISSED"
        judged.add_row(verdict.what, verdict.measured, verdict.wanted, word)
    console.print(judged)
    content: dict[str, Any] = {
        "minutes": given.minutes,
        "runs": [{**asdict(run), "per_minute": run.per_minute} for run in runs],
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    Path(given.out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {given.out}")


if __name__ == "__main__":
    sys.exit(main())
