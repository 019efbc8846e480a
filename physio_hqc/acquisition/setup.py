"""A laboratory's setup: which devices a session uses, and who wears which."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field as Setting
from pydantic import StringConstraints, model_validator

from physio_hqc.acquisition.source import BleBackend, Source, SourceOptions
from physio_hqc.acquisition.sources import make_source
from physio_hqc.config import ConfigModel, Name, Text, WrongKeyError, load_config, nearest
from physio_hqc.errors import ConfigError

_MAX_TEXT = 4096
_MAX_SERIAL = 256
Short = Annotated[str, StringConstraints(max_length=_MAX_SERIAL)]


class SetupDevice(ConfigModel):
    """One device of the laboratory."""

    device: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_TEXT)] = Setting(
        description="Device profile, or another source such as lsl:type='EEG'."
    )
    serial: Short = Setting(
        default="",
        description="Serial number, address or end of the advertised name; put it in quotes.",
    )
    role: Short = Setting(
        default="", description="Role of the participant who wears it; absent: every session."
    )
    user: Annotated[int, Setting(strict=True, ge=0, le=254)] | None = Setting(
        default=None, description="User number of the participant in a shared cuff."
    )
    streams: tuple[Name, ...] = Setting(
        default=(), description="Streams to record; absent: what the profile records by default."
    )


class LabSetup(ConfigModel):
    """Devices of a laboratory, fixed by serial number, and the roles they serve."""

    name: Name = Setting(description="Name of the setup.")
    title: Text = Setting(default="", description="What it is, in one line.")
    devices: tuple[SetupDevice, ...] = Setting(min_length=1, description="The devices.")

    @model_validator(mode="after")
    def _check(self) -> LabSetup:
        seen: set[tuple[str, str]] = set()
        for index, entry in enumerate(self.devices):
            key = (entry.device, entry.serial)
            if entry.serial and key in seen:
                raise WrongKeyError(("devices", index, "serial"), "the same device appears twice")
            seen.add(key)
        return self

    def for_role(self, role: str) -> tuple[SetupDevice, ...]:
        """Devices that the participant of this role uses.

        Parameters
        ----------
        role : str
            "" where the session has none.

        Returns
        -------
        tuple of SetupDevice

        Raises
        ------
        ConfigError
            If the setup names roles and this is none of them.

        Examples
        --------
        >>> strap, cuff = {"device": "polar_h10", "role": "speaker"}, {"device": "blood_pressure"}
        >>> setup = LabSetup(name="room_a", devices=[strap, cuff])
        >>> [entry.device for entry in setup.for_role("speaker")]
        ['polar_h10', 'blood_pressure']
        """
        roles = sorted({entry.role for entry in self.devices if entry.role})
        if roles and role not in roles:
            hint = nearest(role, roles) if role else f"one of {', '.join(roles)}"
            raise ConfigError(f"setup {self.name} has no devices for the role {role!r}; {hint}")
        return tuple(entry for entry in self.devices if entry.role in ("", role))


def load_setup(path: str | Path) -> LabSetup:
    r"""Read a laboratory's setup from a YAML file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    LabSetup

    Raises
    ------
    ConfigError
        When it does not exist or is wrong; the message names file, line and key.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "room_a.yaml"
    >>> _ = file.write_text("name: room_a\ndevices: [{device: polar_h10, serial: 'A1B2C3D4'}]")
    >>> load_setup(file).devices[0].serial
    'A1B2C3D4'
    """
    return load_config("setups", path, LabSetup)


def device_from_text(text: str) -> SetupDevice:
    """Read ``polar_h10`` or ``polar_h10=A1B2C3D4`` as given on the command line.

    Examples
    --------
    >>> device_from_text("polar_h10=A1B2C3D4").serial
    'A1B2C3D4'
    >>> device_from_text("lsl:type='ECG'").device
    "lsl:type='ECG'"
    """
    head, equals, serial = text.partition("=")
    if not head.strip():
        raise ConfigError("a device needs a name, such as polar_h10")
    if not text.isprintable():
        raise ConfigError(f"device {text[:40]!r}: a name has letters only")
    if len(text) > _MAX_TEXT:
        raise ConfigError(f"device {text[:40]!r}… is too long a name")
    if not equals or ":" in head:
        return SetupDevice(device=text)
    if not 0 < len(serial) <= _MAX_SERIAL:
        raise ConfigError(f"device {head}: the serial number after = should have 1 to 256 letters")
    return SetupDevice(device=head, serial=serial)


def make_sources(
    devices: tuple[SetupDevice, ...], backend: BleBackend | None = None
) -> tuple[Source, ...]:
    """Make the sources of a session.

    Parameters
    ----------
    devices : tuple of SetupDevice
    backend : BleBackend, optional
        Where Bluetooth comes from; the platform's own by default.

    Returns
    -------
    tuple of Source

    Raises
    ------
    ConfigError
        If a device is unknown, or the same one is named twice.

    Examples
    --------
    >>> [source.name for source in make_sources((SetupDevice(device="polar_h10"),))]
    ['polar_h10']
    """
    worn = [entry.serial.lower() for entry in devices if entry.serial]
    twice = next((serial for serial in worn if worn.count(serial) > 1), None)
    if twice is not None:
        raise ConfigError(f"the device with the serial number {twice!r} is named twice")
    return tuple(
        make_source(
            entry.device,
            SourceOptions(
                serial=entry.serial, user=entry.user, streams=entry.streams, backend=backend
            ),
        )
        for entry in devices
    )
