"""No room left: what was flushed is readable, and the recorder says so and ends with 2."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recording.common import Bench, Outcome, Recorder, covered_s

# What arrives while the recorder gives up is counted as well.
LOST_S = 2.0
_DEVICE = "simulator:load=8x10000"
_RATE = 10000
_TIMEOUT_S = 60.0


@dataclass
class _Full:
    """How one recording ended."""

    kind: str
    code: int
    opened: bool = False
    intact: bool = True
    short_s: float = float("nan")
    recovered: bool = False
    lines: int = 0
    error: str = ""


def run(bench: Bench, *, quick: bool = False) -> Outcome:
    """Let the room run out, at sizes that are hit at different moments of the writing."""
    dice = random.Random(4)
    n = 1 if quick else 12
    sizes = [dice.randrange(1300, 1600) if quick else dice.randrange(1000, 5000) for _ in range(n)]
    ends = []
    for number, size in enumerate(sizes):
        bench.advance(number, 2 * n, "a limit of file size")
        folder = bench.folder / f"limit{number}"
        folder.mkdir()
        # A shell counts file sizes in blocks of 512 bytes; the recorder takes the shell's place.
        ends.append(_record(bench, "limit of file size", folder, f"ulimit -f {size * 2}"))
    notes = []
    for number, size in enumerate(sizes):
        bench.advance(n + number, 2 * n, "a full disk")
        with _small_disk(bench.folder / f"disk{number}", size) as folder:
            if folder is None:
                notes = ["full disk not run: mounting a tmpfs is not allowed here"]
                break
            ends.append(_record(bench, "full disk", folder, "true"))
    return _judge(ends, notes)


def _judge(ends: list[_Full], notes: list[str]) -> Outcome:
    outcome = Outcome("disk-full", notes=notes)
    for kind in dict.fromkeys(end.kind for end in ends):
        found = [end for end in ends if end.kind == kind]
        n = len(found)
        for name, values in (
            ("exit code 2", [end.code == 2 for end in found]),
            ("one clear line of error", [end.lines == 1 for end in found]),
            ("files that open", [end.opened for end in found]),
            ("files whose samples are intact", [end.opened and end.intact for end in found]),
            ("recovered to a closed file", [end.recovered for end in found]),
        ):
            outcome.add(f"{kind}: {name}", f"{sum(values)} of {n}", "all", all(values))
        short = max(end.short_s for end in found)
        outcome.add(
            f"{kind}: arrived before the end and not in the file, at most",
            f"{short:.2f} s",
            f"<= {LOST_S:g} s",
            short <= LOST_S,
        )
        outcome.notes += [f"{kind}: {end.error}" for end in found if end.error]
    return outcome


def _record(bench: Bench, kind: str, folder: Path, before: str) -> _Full:
    """Record until there is no room."""
    out = folder / "full.h5"
    options = [str(bench.protocol), "--participant", "P01", "--no-screen", "--device", _DEVICE]
    shell = ("sh", "-c", f'{before}; exec "$@"', "sh")
    with bench.recorder(out, *options, shell=shell, log=bench.folder / "full.log") as recorder:
        _wait(bench, recorder)
        end = _Full(kind, recorder.process.wait())
        errors = [line for line in recorder.log.splitlines() if line.startswith("error:")]
        end.lines = len(errors) if "Traceback" not in recorder.log else -1
        if end.code != 2 or end.lines != 1:
            end.error = f"exit code {end.code}: {recorder.log.strip()[-600:]}"
        ended = re.search(r"(\d+):([\d.]+) recording ended", recorder.log)
    ended_s = int(ended[1]) * 60 + float(ended[2]) if ended else float("inf")
    _inspect(end, out, bench.folder / "whole.h5", ended_s)
    return end


def _wait(bench: Bench, recorder: Recorder) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while recorder.process.poll() is None:
        if time.monotonic() > deadline:
            recorder.process.kill()
        bench.sleep(0.01)


def _inspect(end: _Full, out: Path, whole: Path, ended_s: float) -> None:
    from physio_hqc.errors import PhysioError
    from physio_hqc.session import open_session
    from physio_hqc.session.recover import recover_session

    try:
        with open_session(out) as session:
            names = [name for name in session.streams if name.startswith("load")]
            end.opened, end.short_s = len(names) == 8, 0.0
            for name in names:
                samples = session.streams[name].samples
                end.intact &= bool(np.array_equal(samples, np.arange(len(samples))))
                end.short_s = max(end.short_s, ended_s - covered_s(session.streams[name], _RATE))
            recover_session(out, whole)
            with open_session(whole) as again:
                end.recovered = again.closed and all(
                    np.array_equal(session.streams[name].samples, again.streams[name].samples)
                    for name in names
                )
    except (PhysioError, OSError, KeyError, ValueError) as error:
        end.error += f" {type(error).__name__}: {error}"
    finally:
        whole.unlink(missing_ok=True)


@contextlib.contextmanager
def _small_disk(folder: Path, size_kb: int) -> Iterator[Path | None]:
    """A file system of so many kB; None where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    try:
        mounted = hasattr(os, "geteuid") and os.geteuid() == 0
        mounted = (
            mounted and not subprocess.run(command, capture_output=True, check=False).returncode
        )
    except OSError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
