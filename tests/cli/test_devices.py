"""``devices scan`` and ``devices test``, with virtual wearables and without any Bluetooth."""

import json
import signal
import subprocess
import sys

import pytest

from physio_hqc.cli.main import run

STREAM = {"ecg", "rr", "hr"}


def error(capsys, *arguments):
    """Run what must fail; return its one line."""
    assert run(["devices", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("command", ["scan", "test"])
def test_help_shows_an_example(command, capsys):
    assert run(["devices", command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"physio-hqc devices {command}" in text.partition("For example:")[2]


@pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is how Linux tells of Bluetooth")
@pytest.mark.parametrize("arguments", [["scan", "--seconds", "0.5"], ["test", "polar_h10"]])
def test_without_bluetooth_one_line_says_what_to_do(arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    text = error(capsys, *arguments)
    assert "no Bluetooth: the system's D-Bus is not running" in text
    assert "bluez" in text
    assert "--virtual" in text


def test_an_unknown_profile_is_refused_before_anything_starts(capsys):
    assert "polar_h10" in error(capsys, "test", "polar_h11", "--virtual")


def test_two_serial_numbers_are_refused(capsys):
    assert "two serial numbers" in error(capsys, "test", "polar_h10=A1B2C3D4", "--serial", "X1")


class TestVirtual:
    @pytest.fixture(autouse=True)
    def _needs_bumble(self):
        pytest.importorskip("bumble")

    def test_scan_lists_what_fits_and_how_to_use_it(self, capsys):
        assert run(["devices", "scan", "--virtual", "--seconds", "0.6"]) == 0
        out = capsys.readouterr().out
        assert "Polar H10 A1B2C3D4" in out
        assert "polar_h10, heart_rate" in out
        assert "--device polar_h10=A1B2C3D4" in out
        assert "180D" in out

    def test_scan_for_programs(self, capsys):
        assert run(["devices", "scan", "--virtual", "--seconds", "0.6", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {device["profiles"][0] for device in found} == {
            "polar_h10",
            "blood_pressure",
            "nordic_uart_eda",
        }
        assert all(device["rssi"] < 0 and device["address"] for device in found)

    def test_what_is_not_recognized_is_said(self, capsys, monkeypatch):
        from physio_hqc.acquisition.virtual import VirtualHeartRate, rehearsals

        class Fridge(VirtualHeartRate):
            advertised = ("1800",)

        monkeypatch.setitem(rehearsals._MAKERS, "polar_h10", lambda *_: Fridge("Fridge [bold]7"))
        assert run(["devices", "scan", "--virtual", "--seconds", "0.6"]) == 0
        row = next(line for line in capsys.readouterr().out.splitlines() if "Fridge" in line)
        assert "Fridge [bold]7" in row
        assert "fits no profile" in row

    def test_test_shows_live_values_and_a_table(self, capsys):
        arguments = ["devices", "test", "polar_h10", "--virtual", "--seconds", "2.5"]
        assert run(arguments) == 0
        shown = capsys.readouterr()
        assert "connected" in shown.err
        assert "/min" in shown.err
        assert "130.00 Hz" in shown.out
        assert "mV" in shown.out
        assert "serial A1B2C3D4" in shown.out
        assert "battery 80 %" in shown.out
        assert "troubles: none" in shown.out

    def test_test_for_programs(self, capsys):
        arguments = ["devices", "test", "polar_h10", "--serial", "A1B2C3D4", "--virtual"]
        assert run([*arguments, "--seconds", "3", "--json"]) == 0
        shown = capsys.readouterr()
        assert not shown.err
        result = json.loads(shown.out)
        streams = {stream["name"]: stream for stream in result["streams"]}
        assert set(streams) == STREAM
        # The virtual strap runs at 130.273 Hz, as a recorded H10 did.
        assert streams["ecg"]["sfreq_measured"] == pytest.approx(130.273, abs=0.02)
        assert streams["ecg"]["n_gaps"] == 0
        assert -5 < streams["ecg"]["min"] < 0 < streams["ecg"]["max"] < 5
        assert 0 <= streams["ecg"]["lag_s"] < 0.3
        assert streams["rr"]["sfreq_measured"] is None
        assert result["device"]["serial"] == "A1B2C3D4"
        assert result["troubles"] == {}
        assert result["missing"] == []

    @pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
    @pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, sign):
        code = "from physio_hqc.cli import main; main()"
        command = [sys.executable, "-W", "error", "-c", code]
        arguments = ["devices", "test", "heart_rate", "--virtual", "--seconds", "60"]
        with subprocess.Popen(
            [*command, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stderr:
                if "connected" in line:
                    break
            process.send_signal(sign)
            _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "interrupted" in err
