"""The benchmark: its scoring against hand-made cases, and one part run as a user runs it."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
PEERS = ("biosppy", "peakutils", "neurokit2", "sleepecg", "wfdb")

pytestmark = pytest.mark.skipif(
    not (SCRIPTS / "benchmark.py").is_file(), reason="the benchmark is not beside the tests"
)


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("benchmarks.common")


def run(*arguments, out):
    command = [sys.executable, SCRIPTS / "benchmark.py", *arguments, "--out", out]
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )


def need_peers():
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra bench is not installed: {', '.join(missing)} missing")


@pytest.mark.parametrize(
    ("true", "found", "counts"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3, 0, 0]),
        ([1.0, 2.0, 3.0], [], [0, 3, 0]),
        ([], [1.0], [0, 0, 1]),
        ([1.0], [0.95, 1.02], [1, 0, 1]),
        ([1.0, 1.2], [1.1], [1, 1, 0]),
        ([1.0, 2.0], [1.15, 2.16], [1, 1, 1]),
    ],
)
def test_matching_is_one_to_one_within_150_ms(common, true, found, counts):
    assert common.f1_counts(np.array(true), np.array(found)).tolist() == counts


def test_matching_equals_the_scorer_of_the_records(common, shared_data):
    if not (shared_data.parent / "tools" / "score_beats.py").is_file():
        pytest.skip("the scorer (../shared/tools) is not beside this checkout")
    scorer = common.shared_scorer(shared_data)
    rng = np.random.default_rng(0)
    for _ in range(100):
        true, found = (np.sort(rng.uniform(0, 10, rng.integers(0, 30))) for _ in range(2))
        scored = scorer.score(true, found, 1.0, 0.15)
        expected = [scored["tp"], scored["fn"], scored["fp"]]
        assert common.f1_counts(true, found).tolist() == expected


def test_calls_are_timed_in_turns(common):
    turns = []
    took = common.interleaved({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 2)
    assert turns == ["a", "b"] * 3
    assert set(took) == {"a", "b"}


def test_a_part_that_does_not_exist_is_named(tmp_path):
    done = run("--only", "speed", out=tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("benchmark: there is no part 'speed'")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("--only", "correction", "--quick", out=tmp_path / "file" / "out")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--out" in done.stderr


def test_the_pressure_part_finds_what_was_simulated(tmp_path):
    need_peers()
    out = tmp_path / "out"
    done = run("--quick", "--only", "pressure", "--data", tmp_path / "none", out=out)
    assert done.returncode == 0, done.stderr
    written = json.loads((out / "benchmark.json").read_text(encoding="utf-8"))
    assert set(written) == {"about", "parts"}
    assert {"date", "command", "machine", "cores", "versions"} <= set(written["about"])
    assert list(written["parts"]) == ["pressure"]
    simulated, gains = (table["rows"] for table in written["parts"]["pressure"]["tables"])
    assert [row["rate"] for row in simulated] == ["60 Hz", "125 Hz", "250 Hz", "1000 Hz"]
    for row in simulated:
        assert row["found %"] >= 99
        assert max(row["SBP mmHg"], row["DBP mmHg"], row["MAP mmHg"]) < 1
        assert row["ours Msamples/s"] > 0
    assert "BRS_Sequence" in [row["estimate"] for row in gains]
    text = (out / "benchmark.md").read_text(encoding="utf-8")
    assert "## pressure" in text
    assert "| 60 Hz |" in text


def test_real_recordings_that_are_not_there_are_reported(tmp_path):
    done = run("--quick", "--only", "rpeaks", "--data", tmp_path / "none", out=tmp_path / "out")
    assert done.returncode == 1
    assert "Not run: there are no recordings in" in " ".join(done.stdout.split())
