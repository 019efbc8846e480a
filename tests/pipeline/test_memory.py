"""Peak memory does not grow with the length of a session."""

import subprocess
import sys

import numpy as np
import pytest

from physio_hqc.session import SessionWriter, open_session
from physio_hqc.simulate import simulate_session

# What six hours more may cost at the most: the tables grow, the signals must not.
MOST_MB = 150
HOURS = (2, 8)

PROCESS = """
import pathlib, re, resource, sys
from physio_hqc.pipeline import process_session
result = process_session(sys.argv[1], out_dir=sys.argv[2])
if sys.platform == "darwin":
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
else:
    # On Linux ru_maxrss begins with the size of the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 1e3
print(peak, len(result.tables["beats"]))
"""


def tiled(source, path, hours):
    """Repeat half an hour of signals as often as needed, piece by piece."""
    with open_session(source) as session, SessionWriter(path) as writer:
        for name, stream in session.streams.items():
            writer.add_stream(
                name, modality=stream.modality, units=stream.units, sfreq=stream.sfreq
            )
        for name, stream in session.streams.items():
            samples = stream.samples[: int(1800 * stream.sfreq)]
            for number in range(2 * hours):
                writer.append_segment(name, samples, 1800.0 * number)
        for number in range(12 * hours):
            name = "baseline" if number == 0 else f"part_{number:03d}"
            writer.add_event(300.0 * number, "phase", name, duration=300.0)
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no ru_maxrss")
def test_eight_hours_need_hardly_more_than_two(tmp_path):
    source = simulate_session(
        tmp_path / "short.h5",
        seed=5,
        time_scale=1.05,
        streams=["ecg", "bp", "eda", "resp"],
        ecg_sfreq=1000,
        bp_sfreq=200,
        eda_sfreq=100,
    )
    peaks, beats = [], []
    for hours in HOURS:
        path = tiled(source.path, tmp_path / f"{hours}.h5", hours)
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, str(path), str(tmp_path / "derivatives")],
            check=True,
            capture_output=True,
            text=True,
        )
        peak, n_beats = done.stdout.split()
        peaks.append(float(peak))
        beats.append(int(n_beats))
        path.unlink()
    assert peaks[1] - peaks[0] < MOST_MB
    assert peaks[1] < 700
    assert np.isclose(beats[1] / beats[0], HOURS[1] / HOURS[0], rtol=0.001)
