"""What the tests of the batch share: sessions to process, whole trees compared."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import psutil

from physio_hqc.simulate import simulate_session

COMMAND = (sys.executable, "-m", "physio_hqc", "batch")
QUIET = {**os.environ, "OMP_NUM_THREADS": "1"}


def make_sessions(folder: Path, n: int = 4, streams: tuple[str, ...] = ("ecg", "cuff")) -> Path:
    """Short sessions in two folders."""
    for k in range(n):
        place = folder / f"week{k % 2}"
        place.mkdir(parents=True, exist_ok=True)
        simulate_session(
            place / f"p{k:02}.h5",
            seed=k,
            participant_id=f"P{k:02}",
            condition=("alone", "support")[k % 2],
            time_scale=0.05,
            streams=streams,
        )
    return folder


def make_brainvision(folder: Path) -> None:
    """The three files of a BrainVision recording of an ECG, one minute."""
    (folder / "B.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=B.eeg\nMarkerFile=B.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        "NumberOfChannels=1\nSamplingInterval=4000\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        "[Channel Infos]\nCh1=ECG,,1,µV\n",
        encoding="utf-8",
    )
    (folder / "B.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=B.eeg\n\n[Marker Infos]\nMk1=Stimulus,S  1,251,1,0\n",
        encoding="utf-8",
    )
    (1000 * beats()).astype("<i2").tofile(folder / "B.eeg")


def make_edf(path: Path) -> None:
    """An EDF file of an ECG, one minute."""
    edfio.Edf([edfio.EdfSignal(beats(), 250, label="ECG", physical_dimension="mV")]).write(path)


def beats() -> np.ndarray:
    """R waves at 60 per minute, at 250 Hz."""
    return np.exp(-(((np.arange(60 * 250) / 250 % 1) - 0.5) ** 2) / 2e-4)


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, and its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env=QUIET,
        **options,
    )


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command from its start to its end."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=QUIET, check=False
    )


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether it comes true in time."""
    for _ in range(round(seconds / 0.02)):
        if what():
            return True
        time.sleep(0.02)
    return bool(what())


def workers_of(pid: int) -> list[psutil.Process]:
    """Worker processes below a process."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether they end, all of them, before long."""
    return wait_for(
        lambda: all(
            not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
            for process in processes
        )
    )
