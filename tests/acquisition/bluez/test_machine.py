"""Starts the small machine with a real bluetoothd and runs the tests marked ``bluez`` in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MACHINE = Path(os.environ.get("PHYSIO_BLUEZ_VM", ROOT.parent / "shared/tools/bluez_vm/run"))
NOT_TO_BE_HAD = 77
TIMEOUT_S = 420


@pytest.mark.slow
@pytest.mark.skipif("PHYSIO_BLUEZ" in os.environ, reason="runs outside of the machine only")
def test_recording_through_bluez():
    if not MACHINE.is_file():
        pytest.skip(f"no {MACHINE.name} in {MACHINE.parent.name}: no machine with a bluetoothd")
    # Importing is slow in there, so what is not needed is left out.
    without = ["cacheprovider", "xdist", "hypothesispytest"]
    inside = [sys.executable, "-m", "pytest", *(f"-pno:{plugin}" for plugin in without)]
    inside += ["-m", "bluez", "-v"]
    done = subprocess.run(
        [MACHINE, "--timeout", str(TIMEOUT_S), "--", *inside, Path(__file__).parent],
        cwd=ROOT,
        env={**os.environ, "PHYSIO_BLUEZ": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S + 300,  # the first call ever sets the machine up
        check=False,
    )
    said = f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    if done.returncode == NOT_TO_BE_HAD:
        lines = done.stderr.strip().splitlines() or ["no reason was given"]
        pytest.skip(f"the machine cannot be had here: {lines[-1]}")
    assert done.returncode == 0, said
    assert " passed" in done.stdout, said
