"""A laboratory's setup: devices fixed by serial number, and whom they serve."""

from pathlib import Path

import pytest

from physio_hqc.acquisition.setup import device_from_text, load_setup, make_sources
from physio_hqc.errors import ConfigError


def test_every_role_gets_its_own_strap_and_user_number() -> None:
    setup = load_setup("two_straps")
    speaker = [(d.device, d.serial, d.user) for d in setup.for_role("speaker")]
    listener = [(d.device, d.serial, d.user) for d in setup.for_role("listener")]
    assert speaker == [("polar_h10", "A1B2C3D4", None), ("blood_pressure", "", 1)]
    assert listener == [("polar_h10", "E5F6A7B8", None), ("blood_pressure", "", 2)]


def test_a_wrong_role_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'speaker'"):
        load_setup("two_straps").for_role("speeker")
    with pytest.raises(ConfigError, match="one of listener, speaker"):
        load_setup("two_straps").for_role("")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: a\ndevices: []", "devices"),
        ("name: a\ndevices: [{device: x, serial: 123}]", "serial"),
        ("name: a\ndevices: [{device: x, serail: 'a'}]", "did you mean 'serial'"),
        (
            "name: a\ndevices: [{device: x, serial: 'a'}, {device: x, serial: 'a'}]",
            "the same device appears twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "room.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=part):
        load_setup(file)


@pytest.mark.parametrize(
    ("text", "device", "serial"),
    [
        ("polar_h10", "polar_h10", ""),
        ("polar_h10=A1B2C3D4", "polar_h10", "A1B2C3D4"),
        ("./my_band.yaml=00:11:22:33:44:55", "./my_band.yaml", "00:11:22:33:44:55"),
        ("lsl:type='EEG'", "lsl:type='EEG'", ""),
        ("simulator:seed=3", "simulator:seed=3", ""),
    ],
)
def test_devices_of_the_command_line(text: str, device: str, serial: str) -> None:
    entry = device_from_text(text)
    assert (entry.device, entry.serial) == (device, serial)


@pytest.mark.parametrize("text", ["  ", "=A1B2C3D4", " = "])
def test_a_device_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="needs a name"):
        device_from_text(text)


@pytest.mark.parametrize("text", ["polar_h10=", "polar_h10=" + "A" * 300])
def test_a_serial_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="serial number"):
        device_from_text(text)


def test_a_setup_that_does_not_exist_is_one_line() -> None:
    with pytest.raises(ConfigError, match="no such laboratory setup file"):
        load_setup("nowhere.yaml")


def test_the_same_device_twice_is_refused() -> None:
    twice = (device_from_text("polar_h10=A1B2C3D4"), device_from_text("heart_rate=a1b2c3d4"))
    with pytest.raises(ConfigError, match="'a1b2c3d4' is named twice"):
        make_sources(twice)
