"""How late tags from other programs are: by a lasting connection, and by the command."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from recording.air import origin_s
from recording.common import Bench, CheckError, Outcome, percentile

WITHIN_MS = 20.0
_DEVICE = "simulator:load=16x1000,packet_ms=40"


def run(bench: Bench, *, quick: bool = False, n: int | None = None) -> Outcome:
    """Tag a recording of 16 x 1000 Hz from other processes."""
    n = n or (20 if quick else 200)
    out = bench.folder / "tags.h5"
    options = [str(bench.protocol), "--participant", "P01", "--no-screen", "--device", _DEVICE]
    with bench.recorder(out, *options) as recorder:
        recorder.wait_until_begun()
        direct = _by_connection(bench, out, 5 * n)
        command = _by_command(bench, out, n)
        recorder.end()
    return _judge(out, direct, command)


def _by_connection(bench: Bench, out: Path, n: int) -> list[tuple[str, int, float]]:
    """Label, true moment in ns, and how long the call took in ms."""
    from physio_hqc.acquisition.control import Tagger

    dice, found = random.Random(2), []
    with Tagger(out) as tagger:
        for number in range(n):
            label, begin = f"direct {number}", time.monotonic_ns()
            tagger.mark(label, {"n": number})
            found.append((label, begin, (time.monotonic_ns() - begin) / 1e6))
            bench.advance(number, n, "a lasting connection")
            bench.sleep(dice.uniform(0.0, 0.025))
    return found


def _by_command(bench: Bench, out: Path, n: int) -> list[tuple[str, int, float]]:
    """Label, the moment just before the command was started, and how long it took in ms."""
    script = Path(sys.executable).with_name("physio-hqc")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "physio_hqc"]
    # As after an installation: compiled once.
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(bench.folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = []
    for number in range(-1, n):
        label, begin = f"command {number}", time.monotonic_ns()
        words = ["tag", str(out), "mark", label, "--json"]
        done = subprocess.run([*program, *words], check=True, capture_output=True, env=environment)
        took = (time.monotonic_ns() - begin) / 1e6
        if "onset" not in json.loads(done.stdout):
            raise CheckError(f"no onset in the answer: {done.stdout!r}")
        if number >= 0:
            found.append((label, begin, took))
        bench.advance(number, n, "the command")
        bench.sleep(0.01)
    return found


def _judge(
    out: Path, direct: list[tuple[str, int, float]], command: list[tuple[str, int, float]]
) -> Outcome:
    from physio_hqc.session import open_session

    outcome = Outcome("tags")
    with open_session(out) as session:
        events, origin = session.events, origin_s(session.t0_unix_ns)
    marks = events[events["kind"] == "marker"]
    stored = dict(zip(marks["label"], marks["onset"], strict=True))
    for name, tags in (("lasting connection", direct), ("physio-hqc tag", command)):
        there = sum(label in stored for label, _, _ in tags)
        outcome.add(f"{name}: stored", f"{there} of {len(tags)}", "all", there == len(tags))
        late = [(stored.get(label, np.inf) + origin) * 1e3 - ns / 1e6 for label, ns, _ in tags]
        worst = percentile(np.abs(late), 95)
        outcome.add(
            f"{name}: stored time minus true moment, 95th percentile",
            f"{worst:.2f} ms (median {np.median(late):.2f}, largest {max(np.abs(late)):.2f} ms)",
            f"< {WITHIN_MS:g} ms",
            worst < WITHIN_MS,
        )
        outcome.numbers[name] = worst
    calls = [took for _, _, took in direct]
    outcome.add(
        "lasting connection: call answered, 95th percentile",
        f"{percentile(calls, 95):.2f} ms (median {np.median(calls):.2f} ms)",
        f"< {WITHIN_MS:g} ms",
        percentile(calls, 95) < WITHIN_MS,
    )
    whole = [took for _, _, took in command]
    outcome.notes.append(
        f"physio-hqc tag, process started to process ended: median {np.median(whole):.0f} ms, 95th "
        f"percentile {percentile(whole, 95):.0f} ms; the stored time is that of its start"
    )
    return outcome
