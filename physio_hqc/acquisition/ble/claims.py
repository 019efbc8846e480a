"""Which source has which device, in this process and in others of this user."""

from __future__ import annotations

import os
import re
from pathlib import Path

from physio_hqc.acquisition._control_wire import make_private_folder
from physio_hqc.errors import RecordingError
from physio_hqc.session.locks import is_being_written, lock_for_writing


class Claims:
    """Devices that are taken.

    A system shares its link to a device with every program that asks. A second recorder would
    stop the streams of the first, so that a device is also claimed by a lock on a file, which ends
    with its process however that ends.

    Parameters
    ----------
    shared : bool
        Whether other processes can reach the same devices.

    Examples
    --------
    >>> claims = Claims(shared=False)
    >>> claims.take("AA:BB", "strap"), claims.take("AA:BB", "other"), claims.taken("AA:BB", "strap")
    (True, False, False)
    """

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        self._owners: dict[str, object] = {}
        self._locks: dict[str, int] = {}

    def take(self, address: str, owner: object) -> bool:
        """Take a device for one source; False if another one has it."""
        if address in self._owners:
            return self._owners[address] is owner
        if self._shared and not self._lock(address):
            return False
        self._owners[address] = owner
        return True

    def taken(self, address: str, owner: object) -> bool:
        """Whether another source has this device."""
        if address in self._owners:
            return self._owners[address] is not owner
        path = _lock_file(address) if self._shared else None
        return path is not None and is_being_written(path)

    def release(self, owner: object) -> None:
        """Give back whatever a source has taken."""
        for address in [key for key, value in self._owners.items() if value is owner]:
            del self._owners[address]
            if address in self._locks:
                os.close(self._locks.pop(address))

    def _lock(self, address: str) -> bool:
        """Lock the file of a device; where there can be none, devices are not locked."""
        path = _lock_file(address)
        if path is None:
            return True
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except OSError:
            return True
        if not lock_for_writing(descriptor):
            os.close(descriptor)
            return False
        self._locks[address] = descriptor
        return True


def _lock_file(address: str) -> Path | None:
    """File whose lock says that a device is taken."""
    try:
        folder = make_private_folder()
    except RecordingError:
        return None
    return Path(folder) / f"ble-{re.sub(r'[^0-9A-Za-z]', '', address)[:40]}.lock"
