"""The package as a whole: light to import, complete when installed."""

import os
import resource
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import physio_hqc

REPOSITORY = Path(__file__).resolve().parents[1]
HEAVY = ("scipy", "pandas", "mne", "matplotlib", "neurokit2", "statsmodels", "dask", "sleepecg")


def run(*command: str | Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True, **kwargs
    )


@pytest.mark.parametrize(
    "statement",
    [
        "import physio_hqc",
        "import physio_hqc.cli",
        "from physio_hqc.errors import PhysioError",
        "from physio_hqc.cli.main import run; run(['--help'])",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint('loaded:', *sorted(sys.modules))"
    loaded = run(sys.executable, "-c", code).stdout.rpartition("loaded:")[2].split()
    assert "physio_hqc" in loaded
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_help_answers_within_300_ms_of_processor_time() -> None:
    command = (sys.executable, "-m", "physio_hqc", "--help")
    run(*command)
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = run(*command).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "process" in text
    # Processor time, not wall time, and the best of five: a busy machine does not matter.
    assert min(spent) <= 0.3


def test_every_public_name_can_be_loaded() -> None:
    assert {"open_session", "import_recording", "process_session"} <= set(physio_hqc.__all__)
    for name in physio_hqc.__all__:
        assert getattr(physio_hqc, name) is not None
    assert set(physio_hqc.__all__) <= set(dir(physio_hqc))
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = physio_hqc.nothing_such


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, REPOSITORY)
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_configs_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {
        f"physio_hqc/configs/{path.relative_to(REPOSITORY / 'configs').as_posix()}"
        for path in (REPOSITORY / "configs").rglob("*.yaml")
    }
    assert len(shipped) >= 9
    assert shipped <= names
    assert "physio_hqc/py.typed" in names
    assert not any(name.startswith(("tests/", "sample_recordings/")) for name in names)


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_finds_its_configs(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    options = {"cwd": tmp_path, "env": environment | {"HOME": str(tmp_path)}}
    run(binaries / "python", "-m", "pip", "install", "--quiet", wheel, **options)
    listed = run(binaries / "physio-hqc", "devices", "list", "--json", **options).stdout
    assert '"polar_h10"' in listed
    simulate = (
        *("simulate", "session", "--protocol", "tsst", "--condition", "stress"),
        *("--time-scale", "0.05", "--out", "p01.h5"),
    )
    run(binaries / "physio-hqc", *simulate, **options)
    run(binaries / "physio-hqc", "process", "p01.h5", "--out", "derivatives", **options)
    assert (tmp_path / "derivatives" / "p01" / "report.html").stat().st_size > 100_000
