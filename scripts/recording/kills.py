"""SIGKILL at random moments: every file opens, nothing old is lost, no value is wrong."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recording.common import Bench, Outcome, Recorder, covered_s

DEVICES = ("simulator:load=3x500", "simulator:load=2x50,packet_ms=200")
RATES = {"load_01": 500, "load_02": 500, "load_03": 500, "load_01_2": 50, "load_02_2": 50}
LOST_S, TAG_S = 1.0, 0.5
_LONGEST_S = 7.0
# So many of the kills come in the first tenth of a second of the file.
_EARLY = 0.1


@dataclass
class _Kill:
    """What one kill left."""

    after_s: float
    opened: bool = False
    intact: bool = True
    lost_s: float = 0.0
    n_tags: int = 0
    n_old_tags: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    recovered: bool | None = None
    error: str = ""


def run(bench: Bench, *, quick: bool = False, n: int | None = None) -> Outcome:
    """Kill a recorder of five streams again and again."""
    n = n or (6 if quick else 200)
    dice = random.Random(20)
    moments = [
        dice.uniform(0, 0.1) if dice.random() < _EARLY else dice.uniform(0, _LONGEST_S)
        for _ in range(n)
    ]
    kills: list[_Kill] = []
    with ThreadPoolExecutor(2) as pool:
        try:
            jobs = [
                pool.submit(_kill, bench, number, moment) for number, moment in enumerate(moments)
            ]
            for job in as_completed(jobs):
                kills.append(job.result())
                bench.advance(len(kills), n, "kills")
        except BaseException:
            bench.stopping.set()
            pool.shutdown(cancel_futures=True)
            raise
    return _judge(kills)


def _judge(kills: list[_Kill]) -> Outcome:
    outcome = Outcome("kills")
    n = len(kills)
    opened = sum(kill.opened for kill in kills)
    outcome.add("files that open", f"{opened} of {n}", "all", opened == n)
    lost = [kill.lost_s for kill in kills]
    outcome.add(
        "arrived data lost, longest of all",
        f"{max(lost):.2f} s (median {np.median(lost):.2f} s)",
        f"<= {LOST_S:g} s",
        max(lost) <= LOST_S,
    )
    old, missing = sum(k.n_old_tags for k in kills), sum(len(k.missing) for k in kills)
    outcome.add(
        f"tags older than {TAG_S:g} s that are there",
        f"{old - missing} of {old}",
        "all",
        missing == 0 and old > 0,
    )
    wrong = sum(len(kill.wrong) for kill in kills)
    outcome.add("tags with a wrong time or label", str(wrong), "0", wrong == 0)
    intact = sum(kill.intact for kill in kills)
    outcome.add("files whose samples are intact", f"{intact} of {n}", "all", intact == n)
    tried = [kill.recovered for kill in kills if kill.recovered is not None]
    if tried:
        outcome.add(
            "recovered to a closed file", f"{sum(tried)} of {len(tried)}", "all", all(tried)
        )
    worst = sorted(kills, key=lambda k: (k.opened and k.intact, -k.lost_s))[:3]
    outcome.notes += [
        f"killed {k.after_s:.3f} s after the file was made: lost {k.lost_s:.2f} s {k.error}"
        for k in worst
        if k.error or not k.opened or k.lost_s > LOST_S
    ]
    outcome.numbers = {"lost_s": lost, "n": n, "errors": [k.error for k in kills if k.error]}
    return outcome


def _kill(bench: Bench, number: int, after_s: float) -> _Kill:
    """Start a recorder, tag it all the time, kill it, and look at its file."""
    out = bench.folder / f"kill{number}.h5"
    options = [str(bench.protocol), "--participant", f"K{number}", "--no-screen"]
    options += [word for device in DEVICES for word in ("--device", device)]
    kill = _Kill(after_s)
    with bench.recorder(out, *options) as recorder:
        recorder.wait_for(out.exists)
        tagging = _Tagging(recorder)
        tagging.start()
        bench.sleep(after_s)
        killed = time.monotonic_ns(), time.time_ns()
        recorder.process.kill()
        recorder.process.wait()
        tagging.join()
    _inspect(kill, out, killed, tagging)
    if number % 10 == 0 and kill.opened:
        _recover(kill, out)
    for path in bench.folder.glob(f"kill{number}.*"):
        path.unlink()
    return kill


class _Tagging(threading.Thread):
    """Tags the recording some twenty times a second until it is gone."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[tuple[str, int, float]] = []
        self._recorder = recorder

    def run(self) -> None:
        from physio_hqc.acquisition.control import Tagger
        from physio_hqc.errors import RecordingError

        dice, number, tagger = random.Random(0), 0, None
        while self._recorder.process.poll() is None:
            try:
                tagger = tagger or Tagger(self._recorder.out)
                label, stamp = f"tag {number}", time.monotonic_ns()
                onset = tagger.send("mark", label, {"n": number}, monotonic_ns=stamp)["onset"]
                self.acknowledged.append((label, stamp, float(onset)))
                number += 1
            except RecordingError:
                # Not listening yet, or dead already.
                time.sleep(0.002)
                continue
            time.sleep(dice.uniform(0.0, 0.1))
        if tagger is not None:
            tagger.close()


def _inspect(kill: _Kill, out: Path, killed: tuple[int, int], tagging: _Tagging) -> None:
    from physio_hqc.errors import PhysioError
    from physio_hqc.session import open_session

    try:
        with open_session(out) as session:
            kill.opened = not session.closed
            age_s = (killed[1] - session.t0_unix_ns) / 1e9
            for name, rate in RATES.items():
                if name not in session.streams:
                    # Killed while the file was being made: nothing can have arrived for it.
                    kill.lost_s = max(kill.lost_s, age_s)
                    continue
                samples = session.streams[name].samples
                kill.intact &= bool(np.array_equal(samples, np.arange(len(samples))))
                kill.lost_s = max(kill.lost_s, age_s - covered_s(session.streams[name], rate))
            events = session.events
    except (PhysioError, OSError, KeyError, ValueError) as error:
        kill.error, kill.opened = f"{type(error).__name__}: {error}", False
        return
    marks = events[events["kind"] == "marker"]
    stored = dict(zip(marks["label"], marks["onset"], strict=True))
    kill.n_tags = len(tagging.acknowledged)
    for label, stamp, onset in tagging.acknowledged:
        old = (killed[0] - stamp) / 1e9 > TAG_S
        kill.n_old_tags += old
        if label not in stored:
            if old:
                kill.missing.append(label)
        elif abs(stored[label] - onset) > 1e-6:
            kill.wrong.append(label)


def _recover(kill: _Kill, out: Path) -> None:
    from physio_hqc.errors import PhysioError
    from physio_hqc.session import open_session
    from physio_hqc.session.recover import recover_session

    whole = out.with_suffix(".whole.h5")
    try:
        recover_session(out, whole)
        with open_session(out) as before, open_session(whole) as after:
            kill.recovered = after.closed and all(
                np.array_equal(before.streams[name].samples, after.streams[name].samples)
                for name in before.streams
            )
    except (PhysioError, OSError, KeyError, ValueError) as error:
        kill.error, kill.recovered = f"recover: {type(error).__name__}: {error}", False
