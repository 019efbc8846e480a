"""Live sources: what is known of a device before it is switched on."""

from physio_hqc.acquisition.profiles import (
    Advertised,
    Block,
    Characteristic,
    Connection,
    DeviceProfile,
    Field,
    Packet,
    StreamSpec,
    Write,
    list_device_profiles,
    load_device_profile,
    parse_device_profile,
)

__all__ = [
    "Advertised",
    "Block",
    "Characteristic",
    "Connection",
    "DeviceProfile",
    "Field",
    "Packet",
    "StreamSpec",
    "Write",
    "list_device_profiles",
    "load_device_profile",
    "parse_device_profile",
]
