"""Many fast streams for a long time, and the usual three devices."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from recording.common import Bench, Outcome, Recorder

N_STREAMS, SFREQ = 16, 1000
GROWTH_MB, SHARE = 20.0, 15.0


def run(bench: Bench, *, quick: bool = False) -> Outcome:
    """Record the load, then what a usual session has."""
    outcome = Outcome("load")
    if not sys.platform.startswith("linux"):
        outcome.notes.append("not run: memory and processor time are read from /proc")
        return outcome
    _load(bench, outcome, 12.0 if quick else 600.0, 4.0 if quick else 60.0)
    _usual(bench, outcome, 12.0 if quick else 90.0)
    return outcome


def _load(bench: Bench, outcome: Outcome, seconds: float, warm_s: float) -> None:
    out = bench.folder / "load.h5"
    device = f"simulator:load={N_STREAMS}x{SFREQ},packet_ms=40,duration_s={seconds:g}"
    with bench.recorder(out, *_options(bench), "--device", device) as recorder:
        recorder.wait_until_begun()
        rss, share = _watch(bench, recorder, seconds, f"{N_STREAMS} x {SFREQ} Hz")
        code = recorder.process.wait(60)
    outcome.add("exit code", str(code), "0", code == 0)
    _check_samples(outcome, out, round(seconds * SFREQ))
    warm = [mb for t, mb in rss if t >= warm_s]
    growth = max(warm) - warm[0] if warm else float("nan")
    outcome.add(
        f"memory after {warm_s:g} s of warm-up grows by",
        f"{growth:.1f} MB (from {warm[0]:.0f} MB)" if warm else "not seen",
        f"< {GROWTH_MB:g} MB",
        growth < GROWTH_MB,
    )
    outcome.notes.append(
        f"{N_STREAMS} x {SFREQ} Hz for {seconds:g} s: {share:.1f} % of one core, "
        f"{out.stat().st_size / 1e6:.0f} MB of file"
    )
    outcome.numbers |= {"growth_mb": growth, "load_share": share}


def _usual(bench: Bench, outcome: Outcome, seconds: float) -> None:
    """A strap, a cuff and an EDA band, at their usual rates; without a radio, and with."""
    simulated = "simulator:streams=ecg+cuff+eda,ecg_sfreq=130,eda_sfreq=16,packet_ms=250"
    share = _share(bench, "usual", seconds, [*_options(bench), "--device", simulated])
    outcome.add(
        "recording ECG 130 Hz, EDA 16 Hz and a cuff",
        f"{share:.1f} % of one core",
        f"< {SHARE:g} %",
        share < SHARE,
    )
    options = ["lepore_1993", "--participant", "P01", "--condition", "support", "--no-screen"]
    share = _share(bench, "virtual", seconds, [*options, "--virtual"])
    outcome.add(
        "the same over virtual Bluetooth, devices and radios in the same process",
        f"{share:.1f} % of one core",
        f"< {SHARE:g} %",
        share < SHARE,
    )
    outcome.numbers["usual_share"] = share


def _share(bench: Bench, name: str, seconds: float, options: list[str]) -> float:
    with bench.recorder(bench.folder / f"{name}.h5", *options) as recorder:
        recorder.wait_until_begun()
        # What starting costs is over.
        bench.sleep(2.0)
        _, share = _watch(bench, recorder, seconds, name)
        recorder.end()
    return share


def _options(bench: Bench) -> list[str]:
    return [str(bench.protocol), "--participant", "P01", "--no-screen"]


def _watch(
    bench: Bench, recorder: Recorder, seconds: float, text: str
) -> tuple[list[tuple[float, float]], float]:
    """Memory over time, and percent of one core, until the time is over or the recorder ended."""
    begin, rss = time.monotonic(), []
    before, t = recorder.cpu_s(), 0.0
    spent = before
    while (now := time.monotonic() - begin) < seconds - 0.5 and recorder.process.poll() is None:
        rss.append((now, recorder.rss_mb()))
        spent, t = recorder.cpu_s(), now
        bench.advance(now, seconds, text)
        bench.sleep(min(1.0, seconds / 20))
    return rss, 100 * (spent - before) / max(t, 1e-9)


def _check_samples(outcome: Outcome, out: Path, n: int) -> None:
    from physio_hqc.session import open_session

    lost = wrong = 0
    with open_session(out) as session:
        streams = [name for name in session.streams if name.startswith("load")]
        for name in streams:
            samples = session.streams[name].samples
            lost += n - len(samples)
            wrong += int(np.count_nonzero(samples != np.arange(len(samples))))
    total = n * N_STREAMS
    outcome.add("streams", str(len(streams)), str(N_STREAMS), len(streams) == N_STREAMS)
    outcome.add("samples lost", f"{lost} of {total}", "0", lost == 0)
    outcome.add("samples wrong, moved or doubled", str(wrong), "0", wrong == 0)
