"""Part `memory`: what processing a long session costs in memory and time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import NotRunError, Options, PartResult, Table
from benchmarks.whole_session import BP_SFREQ, EDA_SFREQ, protocol

ECG_SFREQ = 1000.0
LIMIT_GB, LIMIT_S = 1.5, 120.0
# The child reads VmHWM: its ru_maxrss would begin at the size of this process, which it is a copy
# of until it runs Python. All in KiB.
_CHILD = """
import json, re, resource, sys, time
start = time.perf_counter()
from physio_hqc import process_session
result = process_session(sys.argv[1], out_dir=sys.argv[2])
seconds = time.perf_counter() - start
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
with open("/proc/self/status") as status:
    own = int(re.search(r"VmHWM:\\s*(\\d+)", status.read())[1])
print(json.dumps({
    "seconds": seconds,
    "own": own,
    "child": used[1].ru_maxrss,
    "cpu": sum(u.ru_utime + u.ru_stime for u in used),
    "beats": len(result.tables["beats"]),
}))
"""


def run(options: Options) -> PartResult:
    """Process sessions of growing length, each in a process of its own."""
    if not sys.platform.startswith("linux"):
        raise NotRunError("peak memory is only measured on Linux")
    hours = (1, 2) if options.quick else (1, 6, 24)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for streams in (("ecg",),) if options.quick else (("ecg",), ("ecg", "bp", "eda")):
            for number in hours:
                path = _repeated_hour(Path(folder), number, streams)
                rows.append(_row(number, streams, _process(path, Path(folder))))
                path.unlink()
    columns = (
        "session", "streams", "samples", "beats", "seconds", "processor s", "peak MB",
        "largest child MB", "under 1.5 GB",
    )  # fmt: skip
    digits = {"seconds": 1, "processor s": 1, "peak MB": 0, "largest child MB": 0}
    return PartResult(
        "memory",
        "Memory and time of processing, file to written tables, ECG at 1000 Hz",
        [Table("Sessions", columns, rows, digits)],
        [
            (
                "Each session in a fresh Python, imports included; peak is the largest resident "
                "set (VmHWM). The sessions repeat one simulated hour."
            ),
            f"Aim for a day: under {LIMIT_GB:g} GB and under {LIMIT_S:g} s.",
        ],
    )


def _row(hours: int, streams: tuple[str, ...], used: dict[str, Any]) -> tuple:
    rates = {"ecg": ECG_SFREQ, "bp": BP_SFREQ, "eda": EDA_SFREQ}
    samples = int(sum(rates[name] for name in streams) * 3600 * hours)
    peak = used["own"] * 1024 / 1e6
    child = used["child"] * 1024 / 1e6
    return (
        f"{hours} h",
        ", ".join(streams),
        samples,
        used["beats"],
        used["seconds"],
        used["cpu"],
        peak,
        child,
        bool(peak + child <= 1000 * LIMIT_GB),
    )


def _repeated_hour(folder: Path, hours: int, streams: tuple[str, ...]) -> Path:
    """Write a session that repeats one simulated hour, without holding it in memory."""
    from physio_hqc.session import SessionWriter
    from physio_hqc.simulate import Noise, render_ecg, render_eda, render_pressure, simulate_truth

    # Twelve windows, whatever the length.
    truth = simulate_truth(seed=91, protocol=protocol(12), condition="alone")
    path = folder / f"h{hours:02d}_{len(streams)}.h5"
    kinds = {
        "ecg": (render_ecg, ECG_SFREQ, "mV", "int16", 0.0005),
        "bp": (render_pressure, BP_SFREQ, "mmHg", "int16", 0.01),
        "eda": (render_eda, EDA_SFREQ, "µS", "float32", 1.0),
    }
    design = protocol(12, 300.0 * hours)
    with SessionWriter(path, protocol=design.to_yaml()) as writer:
        for name in streams:
            _, sfreq, units, dtype, scale = kinds[name]
            writer.add_stream(
                name, modality=name, units=units, sfreq=sfreq, dtype=dtype, scale=scale
            )
        for name in streams:
            render, sfreq, _, dtype, scale = kinds[name]
            hour = render(truth, sfreq, Noise()) / scale
            stored = (np.rint(hour) if dtype == "int16" else hour).astype(dtype)
            for number in range(hours):
                writer.append_segment(name, stored, 3600.0 * number)
        for number, phase in enumerate(design.phases):
            writer.add_event(
                phase.duration_s * number, "phase", phase.name, duration=phase.duration_s
            )
    return path


def _process(path: Path, folder: Path) -> dict[str, Any]:
    out = folder / f"results_{path.stem}"
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotRunError(f"processing {path.stem} failed: {done.stderr.strip()[-300:]}")
    used: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return used
