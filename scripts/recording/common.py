"""What all checks need: results, recorders as processes, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

PROTOCOL = """
name: check
title: One phase without an end
baseline: {phase: task}
phases:
  - {name: task, label: Task, role: baseline, duration_s: 7200, advance: manual}
"""


@dataclass(frozen=True)
class Figure:
    """One figure that is to be reached: what was measured, and whether it suffices."""

    name: str
    measured: str
    wanted: str
    ok: bool


@dataclass
class Outcome:
    """What a check found."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything was reached, and anything was measured at all."""
        return bool(self.figures) and all(figure.ok for figure in self.figures)

    def add(self, name: str, measured: str, wanted: str, ok: bool) -> None:
        """Add a figure."""
        self.figures.append(Figure(name, measured, wanted, bool(ok)))


class InterruptedCheckError(Exception):
    """The user wants to stop."""


class CheckError(Exception):
    """Something could not be measured."""


class Bench:
    """Folder, environment and processes of a check; leaving it leaves nothing behind.

    Parameters
    ----------
    advance : callable
        Called with (done, total, text) to show progress.
    """

    def __init__(self, advance: Callable[[float, float, str], None] | None = None) -> None:
        self.advance = advance or (lambda *_: None)
        self.stopping = threading.Event()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        # A short path: the control socket lies in it.
        self.folder = Path(tempfile.mkdtemp(prefix="hqc"))
        self.protocol = self.folder / "check.yaml"
        self.protocol.write_text(PROTOCOL)
        self._before = os.environ.get("PHYSIO_HQC_RUNTIME_DIR")
        os.environ["PHYSIO_HQC_RUNTIME_DIR"] = str(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with self._lock:
            left = list(self._processes)
        for process in left:
            process.kill()
            process.wait()
        os.environ.pop("PHYSIO_HQC_RUNTIME_DIR")
        if self._before is not None:
            os.environ["PHYSIO_HQC_RUNTIME_DIR"] = self._before
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def recorder(
        self, out: Path, *options: str, shell: tuple[str, ...] = (), log: Path | None = None
    ) -> Iterator[Recorder]:
        """Run ``physio-hqc record`` as a user does; killed at the end if it still runs.

        `shell` is put before the command; `log` is where its output goes, beside the file by
        default.
        """
        command = [sys.executable, "-m", "physio_hqc", "record", *options, "--out", str(out)]
        log = log or out.with_suffix(".log")
        with log.open("wb") as output, self._lock:
            if self.stopping.is_set():
                raise InterruptedCheckError
            process = subprocess.Popen(
                [*shell, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            self._processes.add(process)
        try:
            yield Recorder(process, out, log, self)
        finally:
            process.kill()
            process.wait()
            with self._lock:
                self._processes.discard(process)

    def sleep(self, seconds: float) -> None:
        """Wait, unless the user wants to stop."""
        if self.stopping.wait(seconds):
            raise InterruptedCheckError


class Recorder:
    """A running ``physio-hqc record``."""

    def __init__(
        self, process: subprocess.Popen[bytes], out: Path, log: Path, bench: Bench
    ) -> None:
        self.process = process
        self.out = out
        self._log = log
        self.started = time.monotonic()
        self._bench = bench

    @property
    def log(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, what: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until something is true, looking every millisecond."""
        deadline = time.monotonic() + timeout_s
        while not what():
            if self.process.poll() is not None:
                raise CheckError(f"the recorder ended by itself: {self.log.strip()[-2000:]}")
            if time.monotonic() > deadline:
                raise CheckError(f"the recorder did not get there: {self.log.strip()[-2000:]}")
            self._bench.sleep(0.001)

    def wait_until_begun(self) -> None:
        """Wait until the protocol runs."""
        self.wait_for(lambda: "protocol started" in self.log)

    def end(self, timeout_s: float = 30.0) -> int:
        """Ask it to end as Ctrl-C does, and return its exit code."""
        self.process.send_signal(2)
        return self.process.wait(timeout_s)

    def rss_mb(self) -> float:
        """Memory it holds, in MB (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s*(\d+)", status)
        return int(found[1]) * 1024 / 1e6 if found else float("nan")

    def cpu_s(self) -> float:
        """Processor time it used, in s (Linux)."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: Any, share: float) -> float:
    """A percentile; NaN of nothing."""
    return float(np.percentile(values, share)) if len(values) else float("nan")


def covered_s(stream: Any, rate: float) -> float:
    """Session time up to which what came from a simulated device is in the file."""
    blocks = stream.blocks
    if not len(blocks):
        return 0.0
    # Samples are due one by one from the moment the device began; packets come when complete.
    last = blocks["first_sample"] + blocks["n_samples"]
    began = float(np.min(blocks["t_received"] - last / rate))
    return began + float(last[-1]) / rate
