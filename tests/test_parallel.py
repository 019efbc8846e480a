"""Work on several processes: results in place, errors in place, a clean end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from physio_hqc.errors import SignalError
from physio_hqc.parallel import run_parallel
from physio_hqc.signals import detect_r_peaks
from physio_hqc.simulate import simulate_session


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_and_errors_stand_in_their_places(jobs: int) -> None:
    calls = [([0.0] * 500, 250.0), ([0.0] * 500, -1.0), ([], 250.0)]
    seen = []
    results = run_parallel(detect_r_peaks, calls, jobs, lambda number, _: seen.append(number))
    assert sorted(seen) == [0, 1, 2]
    assert isinstance(results[1], SignalError)
    assert len(results[0]) == len(results[2]) == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_is_raised_not_hidden(jobs: int) -> None:
    with pytest.raises(ZeroDivisionError):
        run_parallel(divmod, [(1, 1), (1, 0)], jobs)


INTERRUPTED = """
import sys
from pathlib import Path
from physio_hqc.parallel import run_parallel
from physio_hqc.simulate import simulate_session

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    calls = [(folder / f"{k}.h5",) for k in range(40)]
    print("begun", flush=True)
    run_parallel(simulate_session, calls, 2, lambda number, _: print(number, flush=True))
"""


@pytest.mark.parametrize("results_first", [0, 1, 3])
def test_ctrl_c_ends_the_workers_at_once_and_leaves_whole_files(
    tmp_path: Path, results_first: int
) -> None:
    script = tmp_path / "study.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), str(tmp_path)]
    pipe = subprocess.PIPE
    # The terminal sends Ctrl-C to the whole group: workers get it as well.
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, process_group=0) as process:
        for _ in range(1 + results_first):
            assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        begun = time.monotonic()
        _, message = process.communicate(timeout=60)
    assert process.returncode != 0
    assert time.monotonic() - begun < 30
    assert message.count("KeyboardInterrupt") <= 2
    left = {path.name for path in tmp_path.iterdir()} - {"study.py"}
    assert not [name for name in left if name.startswith(".")]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_same_sessions_come_from_one_and_from_two_processes(tmp_path: Path) -> None:
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        calls = [(folder / f"{k}.h5",) for k in range(2)]
        assert len(run_parallel(simulate_session, calls, jobs)) == 2
    for name in ("0.h5", "1.h5"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_killed_parent_leaves_no_worker_behind(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        for _ in range(2):
            assert process.stdout.readline()
        process.kill()
        # The workers hold the other end of the pipe: it ends only when they have gone.
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
