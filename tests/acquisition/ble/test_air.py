"""No adapter, no permission, an adapter that is pulled out: one line that says what to do."""

import asyncio
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)

from physio_hqc.acquisition import BleBackend
from physio_hqc.acquisition.ble import find_devices
from physio_hqc.acquisition.ble.claims import Claims
from physio_hqc.acquisition.ble.timing import Silence
from physio_hqc.acquisition.ble.waiting import shielded
from physio_hqc.errors import RecordingError

REASON = BleakBluetoothNotAvailableReason


def broken(error):
    """A backend whose scanner fails in this way."""

    class Scanner(BaseBleakScanner):
        def __init__(self, callback, service_uuids, _mode, **_options):
            super().__init__(callback, service_uuids)

        async def start(self):
            raise error

        async def stop(self):
            raise AssertionError("was never started")

    return BleBackend(client=object, scanner=Scanner)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BleakBluetoothNotAvailableError("x", REASON.NO_BLUETOOTH), "no Bluetooth adapter"),
        (BleakBluetoothNotAvailableError("x", REASON.POWERED_OFF), "switch it on"),
        (BleakBluetoothNotAvailableError("x", REASON.DENIED_BY_USER), "privacy settings"),
        (BleakBluetoothNotAvailableError("x", REASON.DENIED_BY_SYSTEM), "administrator"),
        (BleakBluetoothNotAvailableError("odd\nradio", REASON.UNKNOWN), "odd radio"),
        (BleakError("No Bluetooth adapters found."), "plug one in"),
        (BleakError("adapter 'hci0' not found"), "plug one in"),
        (BleakDBusError("org.bluez.Error.NotReady", ["Resource Not Ready"]), "switch it on"),
        (BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", ["no"]), "administrator"),
        (PermissionError(13, "Permission denied"), "administrator"),
        (OSError(5, "some\nfault"), "some fault"),
    ],
)
def test_what_is_wrong_and_what_to_do(error, words):
    with pytest.raises(RecordingError) as caught:
        asyncio.run(find_devices(0.1, backend=broken(error)))
    text = str(caught.value)
    assert text.startswith("no Bluetooth: ")
    assert words in text
    assert "\n" not in text


def test_a_source_without_bluetooth_says_so(running):
    async def main():
        error = BleakBluetoothNotAvailableError("x", REASON.POWERED_OFF)
        async with running("polar_h10", broken(error)) as run:
            with pytest.raises(RecordingError, match="switched off"):
                await asyncio.wait_for(run.task, 5)

    asyncio.run(main())


def test_an_adapter_that_is_pulled_out_is_waited_for(running, fast):
    pytest.importorskip("bumble")
    from physio_hqc.acquisition.virtual import VirtualAir, VirtualHeartRate

    async def main():
        async with VirtualAir() as air:
            pulled = False

            class Adapter(air.backend.scanner):
                async def start(self):
                    if pulled:
                        raise BleakError("adapter 'hci0' not found")
                    await super().start()

            band = VirtualHeartRate("Band", packet_s=0.05)
            await air.add(band)
            backend = replace(air.backend, scanner=Adapter)
            async with running("heart_rate", backend) as run:
                await run.until(lambda: "hr" in run.sink.packets)
                pulled = True
                await band.drop()
                await run.until(lambda: run.sink.troubles["bluetooth"] >= 2)
                pulled = False
                await band.come_back()
                await run.until(lambda: run.sink.state_now == "connected")

    asyncio.run(main())


class TestShielded:
    def test_ends_its_work_although_cancelled_and_is_cancelled_then(self):
        done = []

        async def work():
            await asyncio.sleep(0.05)
            done.append(True)

        async def main():
            task = asyncio.create_task(shielded(work(), 1.0))
            for _ in range(3):
                await asyncio.sleep(0.005)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert done == [True]

    def test_does_not_wait_for_ever(self):
        async def main():
            await shielded(asyncio.sleep(60), 0.05)

        asyncio.run(asyncio.wait_for(main(), 1.0))

    def test_passes_errors_on(self):
        async def work():
            raise ValueError("yes")

        with pytest.raises(ValueError, match="yes"):
            asyncio.run(shielded(work(), 1.0))


class TestSilence:
    def test_patience_doubles_while_nothing_comes(self):
        silence = Silence(silence_s=1.0)
        waits = []
        now = 0.0
        for _ in range(8):
            silence.expect("ecg", now, 10.0)
            start = now
            while not silence.of(now):
                now += 1.0
            waits.append(now - start)
            silence.tried("ecg")
        assert waits == [11, 21, 41, 81, 161, 321, 321, 321]
        silence.heard("ecg", now)
        assert silence.of(now + 1.5) == ["ecg"]
        silence.expect("ecg", now, 10.0)
        assert silence.of(now + 9.9) == []

    def test_what_is_not_expected_is_not_missed(self):
        silence = Silence(silence_s=1.0)
        silence.heard("cuff", 0.0)
        assert silence.of(1e6) == []


HOLD = """
import sys
from physio_hqc.acquisition.ble.claims import Claims
claims = Claims(shared=True)
print(claims.take("AA:BB", "me"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def short_folder():
    """A folder with a path that is short enough for a socket, however tests are run."""
    with tempfile.TemporaryDirectory(prefix="hqc-") as folder:
        yield Path(folder)


class TestClaims:
    def test_a_device_of_another_process_is_free_again_when_that_was_killed(
        self, short_folder, monkeypatch
    ):
        monkeypatch.setenv("PHYSIO_HQC_RUNTIME_DIR", str(short_folder))
        command = [sys.executable, "-c", HOLD]
        claims = Claims(shared=True)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout.readline().strip() == b"True"
                assert claims.taken("AA:BB", "us")
                assert not claims.take("AA:BB", "us")
                assert claims.take("CC:DD", "us")
            finally:
                other.kill()
        assert not claims.taken("AA:BB", "us")
        assert claims.take("AA:BB", "us")
        claims.release("us")
        assert not Claims(shared=True).taken("CC:DD", "anyone")

    def test_without_a_private_folder_devices_are_not_locked(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PHYSIO_HQC_RUNTIME_DIR", str(tmp_path / "no" / "such"))
        claims = Claims(shared=True)
        assert claims.take("AA:BB", "us")
        assert claims.taken("AA:BB", "other")


def test_a_deaf_scan_is_started_anew(running, fast):
    pytest.importorskip("bumble")
    from physio_hqc.acquisition.virtual import VirtualAir, VirtualHeartRate

    async def main():
        async with VirtualAir() as air:
            starts = []

            class Deaf(air.backend.scanner):
                async def start(self):
                    starts.append(self)
                    if len(starts) > 1:
                        await super().start()

            await air.add(VirtualHeartRate("Band", packet_s=0.05))
            backend = replace(air.backend, scanner=Deaf)
            timing = replace(fast, deaf_s=0.3)
            async with running("heart_rate", backend, timing=timing) as run:
                await run.until(lambda: "hr" in run.sink.packets)
            return len(starts)

    assert asyncio.run(main()) >= 2
