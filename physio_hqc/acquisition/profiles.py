"""Device profiles: what a Bluetooth Low Energy wearable offers, as data.

A profile says how a device is recognized, which characteristics are subscribed to and who decodes
them, what is written to start and stop it, and which streams come out. A device that sends plain
packets needs nothing else: its packet layout is part of the profile.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StringConstraints, model_validator
from pydantic import Field as Setting

from physio_hqc.config import (
    ConfigModel,
    Name,
    Text,
    WrongKeyError,
    dump_yaml,
    list_configs,
    load_config,
    nearest,
    parse_yaml_model,
)

Decoder = Literal[
    "standard:heart_rate",
    "standard:blood_pressure",
    "standard:cuff_pressure",
    "polar_pmd",
    "bitalino",
    "packet",
]
Modality = Literal["ecg", "bp", "cuff", "eda", "rr", "ppg", "resp", "acc", "temp", "other"]
FieldType = Literal[
    "u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u64", "i64", "f32", "f64", "sfloat"
]

_SIZES: dict[str, int] = {
    "u8": 1, "i8": 1, "u16": 2, "i16": 2, "u24": 3, "i24": 3, "u32": 4, "i32": 4,
    "u64": 8, "i64": 8, "f32": 4, "f64": 8, "sfloat": 2,
}  # fmt: skip
# What the decoders that need no layout give, by modality: number type, channels, regular or not.
_GIVEN: dict[str, dict[str, tuple[str, int, bool]]] = {
    "standard:heart_rate": {"rr": ("u16", 0, False), "other": ("u16", 0, False)},
    "standard:blood_pressure": {"cuff": ("sfloat", 4, False)},
    "standard:cuff_pressure": {"other": ("sfloat", 0, False)},
    "polar_pmd": {"ecg": ("i24", 0, True), "acc": ("i16", 3, True)},
}
_BITALINO_CHANNELS = 6
_BASE_UUID = "-0000-1000-8000-00805f9b34fb"
_MAX_PACKET = 512  # the longest value an attribute can have


def _uuid(text: Any) -> str:
    """Normalize a UUID to 128 bit in lower case; 0xNNNN is expanded by the Bluetooth base."""
    if not isinstance(text, str):
        raise ValueError(f"should be a UUID such as 0x180D, not {text!r}; put it in quotes")
    word = text.strip().lower()
    if re.fullmatch(r"0x[0-9a-f]{4}", word):
        return f"0000{word[2:]}{_BASE_UUID}"
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", word):
        return word
    raise ValueError(f"should be a UUID, 0xNNNN or 128 bit with hyphens, not {text[:60]!r}")


def _hex(text: Any) -> str:
    """Normalize bytes written as hex digits in pairs: ``02 00 FF``."""
    if not isinstance(text, str):
        raise ValueError(f"should be bytes such as '02 00 FF', not {text!r}; put them in quotes")
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"should be bytes such as '02 00 FF', not {text[:60]!r}") from None
    if not 0 < len(data) <= _MAX_PACKET:
        raise ValueError(f"should have 1 to {_MAX_PACKET} bytes")
    return data.hex(" ").upper()


def _from_hex(value: Any) -> Any:
    """Read a number in hexadecimal, 0xA5, which YAML as it is read here leaves a text."""
    if isinstance(value, str) and re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", value.strip()):
        return int(value, 16)
    return value


def _names_differ(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a channel name that appears twice."""
    if len(set(names)) < len(names):
        raise ValueError("the same name appears twice")
    return names


Uuid = Annotated[str, BeforeValidator(_uuid)]
HexBytes = Annotated[str, BeforeValidator(_hex)]
Number = Annotated[float, Setting(strict=True, allow_inf_nan=False)]
Seconds = Annotated[float, Setting(strict=True, ge=0, le=600, allow_inf_nan=False)]
Rate = Annotated[float, Setting(strict=True, ge=0, le=1e5, allow_inf_nan=False)]
Count = Annotated[int, Setting(strict=True, ge=1, le=_MAX_PACKET)]


class Advertised(ConfigModel):
    """How a device shows itself while it is not connected."""

    names: tuple[Annotated[Text, StringConstraints(min_length=1, max_length=64)], ...] = Setting(
        default=(), description="Patterns of the advertised name; * stands for anything."
    )
    services: tuple[Uuid, ...] = Setting(
        default=(), description="Advertised services, any of which is enough."
    )

    @model_validator(mode="after")
    def _check(self) -> Advertised:
        if not (self.names or self.services):
            raise ValueError("give names or services, or the device is never recognized")
        return self


class Connection(ConfigModel):
    """What the connection must offer."""

    mtu_min: Annotated[int, Setting(strict=True, ge=23, le=517)] | None = Setting(
        default=None, description="Smallest ATT MTU, in bytes, with which packets are whole."
    )
    pairing: Literal["never", "offer", "required"] = Setting(
        default="never", description="Whether the device has to be paired."
    )
    start_timeout_s: Seconds = Setting(
        default=30.0, description="How long the first packet may take after the start."
    )


class Field(ConfigModel):
    """One number in a packet.

    The number of a sample is stored as it is, in the `dtype` of its stream; the physical value is
    number * scale + offset of that stream. Fields follow each other without padding: fill holes
    with fields of the role ``ignore``.
    """

    type: FieldType = Setting(
        description=(
            "Number type: u unsigned, i signed, f floating point, and the bits: u8 u16 u24 u32 "
            "u64, i8 i16 i24 i32 i64, f32 f64; sfloat for the 16-bit medical float."
        )
    )
    endian: Literal["little", "big"] = Setting(
        default="little", description="Byte order: little (least significant byte first) or big."
    )
    role: Literal["sample", "sequence", "device_time", "constant", "battery", "ignore"] = Setting(
        default="sample",
        description=(
            "What the number is. sample: a value of a stream (in a block). In the header: "
            "sequence: a counter of packets, which tells lost, repeated and late ones; "
            "device_time: the device's clock; constant: must be `value`, or the packet is refused; "
            "battery: charge in percent. ignore: skipped."
        ),
    )
    stream: Name | None = Setting(default=None, description="Stream of a sample.")
    channel: Name | None = Setting(
        default=None, description="Channel of a sample, for a stream that has channels."
    )
    modulo: Annotated[int, Setting(strict=True, ge=2, le=2**64)] | None = Setting(
        default=None,
        description=(
            "Where a sequence counter or a device clock starts again at 0: 256 for a counter from "
            "0 to 255; absent: the range of its type."
        ),
    )
    unit_s: Annotated[float, Setting(strict=True, gt=0, le=3600)] | None = Setting(
        default=None,
        description="Seconds per count of a device clock: 0.001 for one that counts milliseconds.",
    )
    value: Annotated[int, BeforeValidator(_from_hex)] | None = Setting(
        default=None, description="What a constant must be: 165 or 0xA5."
    )

    @model_validator(mode="after")
    def _check(self) -> Field:
        for name, role in (("stream", "sample"), ("unit_s", "device_time"), ("value", "constant")):
            if (getattr(self, name) is None) == (self.role == role):
                verb = "is needed for" if self.role == role else "belongs only to"
                raise WrongKeyError((name,), f"{verb} a field with the role '{role}'")
        if self.modulo is not None and self.role not in ("sequence", "device_time"):
            raise WrongKeyError(("modulo",), "belongs to a sequence counter or a device clock")
        if self.channel is not None and self.role != "sample":
            raise WrongKeyError(("channel",), "belongs only to a field with the role 'sample'")
        if self.role in ("sequence", "constant", "battery") and not self.whole:
            raise WrongKeyError(("type",), f"a {self.role} field needs a whole number")
        lowest = -(2 ** (8 * self.size - 1)) if self.type[0] == "i" else 0
        if self.value is not None and not lowest <= self.value < lowest + 2 ** (8 * self.size):
            raise WrongKeyError(("value",), f"{self.value} is no {self.type}")
        return self

    @property
    def size(self) -> int:
        """Length in bytes."""
        return _SIZES[self.type]

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.type[0] in "ui"


class Block(ConfigModel):
    """Fields that follow each other, repeated for every sample of a packet.

    Samples that alternate (x y z x y z) are one block with several fields; samples that stand
    one stream after the other (four of EDA, then one of temperature) are several blocks.
    """

    samples: Count | None = Setting(
        default=None,
        description="How often the fields repeat in a packet; absent: as often as they fit.",
    )
    fields: tuple[Field, ...] = Setting(min_length=1, description="The fields of one repetition.")

    @model_validator(mode="after")
    def _check(self) -> Block:
        for index, field in enumerate(self.fields):
            if field.role not in ("sample", "ignore"):
                raise WrongKeyError(("fields", index, "role"), "a block holds samples only")
        return self

    @property
    def size(self) -> int | None:
        """Length in bytes; None where it takes the rest of the packet."""
        if self.samples is None:
            return None
        return self.samples * sum(field.size for field in self.fields)


class Packet(ConfigModel):
    """Layout of one packet: a header and then blocks of samples.

    A packet of another length, or with another constant, is counted as malformed and nothing of
    it is recorded. Numbers of other than whole bytes (10 or 12 bit packed) cannot be described.
    """

    framing: Literal["notification", "fixed_length"] = Setting(
        default="notification",
        description=(
            "notification: one packet per notification. fixed_length: packets of one length in a "
            "stream of bytes that notifications cut anywhere; constants in the header find the "
            "beginning again after lost bytes, without them it cannot be found."
        ),
    )
    header: tuple[Field, ...] = Setting(
        default=(),
        description="Fields before the samples; at most one each of counter, clock and battery.",
    )
    blocks: tuple[Block, ...] = Setting(min_length=1, description="Samples in their order.")
    time_of: Literal["first", "last"] = Setting(
        default="last",
        description=(
            "Which sample the device clock dates: the first or the last of each stream in a packet."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Packet:
        for index, field in enumerate(self.header):
            if field.role == "sample":
                raise WrongKeyError(("header", index, "role"), "samples belong into a block")
            before = [other.role for other in self.header[:index]]
            if field.role in ("sequence", "device_time", "battery") and field.role in before:
                message = f"only one field can have the role '{field.role}'"
                raise WrongKeyError(("header", index, "role"), message)
        for index, block in enumerate(self.blocks[:-1]):
            if block.samples is None:
                message = "only the last block can take the rest of the packet"
                raise WrongKeyError(("blocks", index, "samples"), message)
        if self.framing == "fixed_length" and self.size is None:
            raise WrongKeyError(("framing",), "packets of one length need samples in every block")
        if self.min_size > _MAX_PACKET:
            raise ValueError(f"a packet has {self.min_size} bytes, more than {_MAX_PACKET}")
        return self

    @property
    def size(self) -> int | None:
        """Length of a packet in bytes; None where the last block takes the rest."""
        return None if self.blocks[-1].samples is None else self.min_size

    @property
    def min_size(self) -> int:
        """Shortest length of a packet in bytes."""
        return sum(field.size for field in self.header) + sum(
            block.size or 0 for block in self.blocks
        )


class Characteristic(ConfigModel):
    """One characteristic that is subscribed to or written to."""

    name: Name = Setting(description="Name by which this profile refers to it.")
    service: Uuid = Setting(description="Service it belongs to.")
    uuid: Uuid = Setting(description="Its own UUID.")
    access: tuple[Literal["read", "write", "notify", "indicate"], ...] = Setting(
        min_length=1, description="What the profile does with it."
    )
    decoder: Decoder | None = Setting(
        default=None, description="Who turns its notifications into samples; none: replies only."
    )
    packet: Packet | None = Setting(default=None, description="Layout for the decoder 'packet'.")
    optional: bool = Setting(default=False, description="Whether a device may lack it.")

    @model_validator(mode="after")
    def _check(self) -> Characteristic:
        if (self.packet is not None) != (self.decoder == "packet"):
            raise WrongKeyError(("packet",), "goes together with the decoder 'packet'")
        if self.decoder and not {"notify", "indicate"} & set(self.access):
            raise WrongKeyError(("access",), "a decoder needs notify or indicate")
        return self


class Write(ConfigModel):
    """Bytes that are written to start or stop the device."""

    characteristic: Name = Setting(description="Where they are written.")
    hex: HexBytes = Setting(description="The bytes, as hex digits in pairs.")
    stream: Name | None = Setting(
        default=None, description="Write only when this stream is wanted; absent: always."
    )
    reply: HexBytes | None = Setting(
        default=None, description="How the answer begins when all is well; absent: none expected."
    )
    wait_s: Seconds = Setting(default=0.0, description="Pause after it, in seconds.")

    @property
    def data(self) -> bytes:
        """The bytes to write."""
        return bytes.fromhex(self.hex)


class StreamSpec(ConfigModel):
    """One stream that the device delivers; physical value = stored value * scale + offset."""

    name: Name = Setting(description="Name of the stream in the session file.")
    modality: Modality = Setting(description="What it measures.")
    units: Text = Setting(description="Unit, or one per channel with commas between.")
    sfreq: Rate = Setting(description="Nominal rate in Hz; 0 for values at irregular times.")
    characteristic: Name = Setting(description="Where it comes from.")
    channels: Annotated[tuple[Name, ...], AfterValidator(_names_differ)] = Setting(
        default=(), description="Names of its channels, in the order of the samples."
    )
    dtype: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"] = (
        Setting(default="float64", description="Number type in the session file.")
    )
    scale: Number = Setting(default=1.0, description="Physical units per stored count.")
    offset: Number = Setting(default=0.0, description="Physical value of a stored 0.")
    default: bool = Setting(default=True, description="Whether it is recorded unless left out.")

    @model_validator(mode="after")
    def _check(self) -> StreamSpec:
        if self.scale == 0:
            raise WrongKeyError(("scale",), "should not be 0")
        units = self.units.split(",")
        if not all(unit.strip() for unit in units):
            raise WrongKeyError(("units",), "should name a unit")
        if len(units) > 1 and len(units) != len(self.channels):
            message = f"{len(units)} units for {len(self.channels)} channels"
            raise WrongKeyError(("units",), message)
        return self


class DeviceProfile(ConfigModel):
    """Everything the recorder needs to know of one kind of device.

    Before the start writes, a recorder sends the stop writes and ignores their replies: a device
    that is still streaming from the session before refuses to start.
    """

    name: Name = Setting(description="Name of the profile; the name of its file.")
    title: Text = Setting(description="What it is, in one line.")
    maker: Text = Setting(default="", description="Who makes it.")
    description: Text = Setting(default="", description="What one should know before using it.")
    references: tuple[Text, ...] = Setting(default=(), description="Where the facts come from.")
    not_verified: tuple[Text, ...] = Setting(
        default=(), description="What could not be confirmed by a document or a device."
    )
    advertised: Advertised = Setting(description="How the device is recognized.")
    connection: Connection = Setting(default=Connection(), description="What it takes to connect.")
    characteristics: tuple[Characteristic, ...] = Setting(
        min_length=1, description="Characteristics that are used."
    )
    start: tuple[Write, ...] = Setting(default=(), description="Writes that start it, in order.")
    stop: tuple[Write, ...] = Setting(default=(), description="Writes that stop it, in order.")
    streams: tuple[StreamSpec, ...] = Setting(min_length=1, description="What it delivers.")

    @model_validator(mode="after")
    def _check(self) -> DeviceProfile:
        _unique("characteristics", [entry.name for entry in self.characteristics])
        _unique("streams", [stream.name for stream in self.streams])
        self._check_writes()
        self._check_streams()
        for index, entry in enumerate(self.characteristics):
            if entry.packet is not None:
                self._check_packet(index, entry.name, entry.packet)
            elif entry.decoder == "bitalino":
                self._check_bitalino(entry.name)
            elif entry.decoder is not None:
                self._check_decoder(entry.name, entry.decoder)
        return self

    def _check_writes(self) -> None:
        """Demand that writes go to a characteristic that is written to, for a known stream."""
        streams = [stream.name for stream in self.streams]
        for group in ("start", "stop"):
            for index, write in enumerate(getattr(self, group)):
                entry = self._entry((group, index, "characteristic"), write.characteristic)
                if "write" not in entry.access:
                    message = f"'{entry.name}' has no access 'write'"
                    raise WrongKeyError((group, index, "characteristic"), message)
                if write.stream is not None and write.stream not in streams:
                    message = f"no stream '{write.stream}', {nearest(write.stream, streams)}"
                    raise WrongKeyError((group, index, "stream"), message)

    def _check_streams(self) -> None:
        """Demand that every stream comes from a characteristic with a decoder."""
        for index, stream in enumerate(self.streams):
            loc = ("streams", index, "characteristic")
            if self._entry(loc, stream.characteristic).decoder is None:
                raise WrongKeyError(loc, f"'{stream.characteristic}' has no decoder")

    def _check_packet(self, index: int, name: str, packet: Packet) -> None:
        """Demand that the packet fills exactly the channels of the streams that come from it."""
        streams = {entry.name: entry for entry in self.streams if entry.characteristic == name}
        filled: set[tuple[str, str]] = set()
        samples: dict[str, int | None] = {}
        for row, block in enumerate(packet.blocks):
            for column, field in enumerate(block.fields):
                if field.stream is None:
                    continue
                loc = ("characteristics", index, "packet", "blocks", row, "fields", column)
                if field.stream not in streams:
                    message = f"no stream '{field.stream}', {nearest(field.stream, streams)}"
                    raise WrongKeyError((*loc, "stream"), message)
                channel = field.channel or ""
                if channel not in (streams[field.stream].channels or ("",)):
                    message = f"stream '{field.stream}' has no channel '{channel}'"
                    raise WrongKeyError((*loc, "channel"), message)
                if (field.stream, channel) in filled:
                    raise WrongKeyError((*loc, "stream"), f"'{field.stream}' is filled twice")
                filled.add((field.stream, channel))
                dtype = streams[field.stream].dtype
                if not _fits(field.type, dtype):
                    message = f"{field.type} does not fit the stream's dtype {dtype}"
                    raise WrongKeyError((*loc, "type"), message)
                if samples.setdefault(field.stream, block.samples) != block.samples:
                    message = f"'{field.stream}' has another number of samples in another block"
                    raise WrongKeyError((*loc, "stream"), message)
        for stream in streams.values():
            empty = [c for c in stream.channels or ("",) if (stream.name, c) not in filled]
            if empty:
                what = " ".join(part for part in (stream.name, empty[0]) if part)
                message = f"no field of the packet fills '{what}'"
                raise WrongKeyError(("characteristics", index, "packet", "blocks"), message)

    def _check_decoder(self, name: str, decoder: str) -> None:
        """Demand that the streams are those that the decoder fills."""
        parts, taken = _GIVEN[decoder], set()
        for index, stream in enumerate(self.streams):
            if stream.characteristic != name:
                continue
            part = stream.modality if stream.modality in parts else "other"
            if part not in parts or part in taken:
                which = "second stream" if part in taken else "stream"
                message = f"the decoder '{decoder}' gives no {which} of this kind"
                raise WrongKeyError(("streams", index, "modality"), message)
            taken.add(part)
            kind, channels, regular = parts[part]
            if len(stream.channels) != channels:
                message = f"the decoder '{decoder}' gives {channels or 'no'} channels here"
                raise WrongKeyError(("streams", index, "channels"), message)
            if not _fits(kind, stream.dtype):
                message = f"{stream.dtype} does not hold what the decoder '{decoder}' gives"
                raise WrongKeyError(("streams", index, "dtype"), message)
            if regular != (stream.sfreq > 0):
                message = "should be above 0" if regular else "should be 0, the times are irregular"
                raise WrongKeyError(("streams", index, "sfreq"), message)

    def _check_bitalino(self, name: str) -> None:
        """Demand at most six channels of one rate."""
        mine = [(i, entry) for i, entry in enumerate(self.streams) if entry.characteristic == name]
        channels = 0
        for index, stream in mine:
            channels += max(1, len(stream.channels))
            if channels > _BITALINO_CHANNELS:
                message = f"a frame has at most {_BITALINO_CHANNELS} channels"
                raise WrongKeyError(("streams", index, "channels"), message)
            if not stream.sfreq or stream.sfreq != mine[0][1].sfreq:
                message = "should be above 0 and the same for all streams of a frame"
                raise WrongKeyError(("streams", index, "sfreq"), message)
            if not _fits("u16", stream.dtype):
                message = f"{stream.dtype} does not hold an unsigned 16-bit number"
                raise WrongKeyError(("streams", index, "dtype"), message)

    def _entry(self, loc: tuple[str | int, ...], name: str) -> Characteristic:
        """Characteristic of this name."""
        for entry in self.characteristics:
            if entry.name == name:
                return entry
        hint = nearest(name, [entry.name for entry in self.characteristics])
        raise WrongKeyError(loc, f"no characteristic '{name}', {hint}")

    def to_yaml(self) -> str:
        """Write the profile as YAML that reads back to an equal profile."""
        return dump_yaml(self)


def load_device_profile(name_or_path: str | Path) -> DeviceProfile:
    """Read a device profile by its shipped name or from a YAML file.

    Parameters
    ----------
    name_or_path : str or Path
        ``"polar_h10"`` or the path of a file.

    Returns
    -------
    DeviceProfile

    Raises
    ------
    ConfigError
        When it does not exist or is wrong; the message names file, line and key.

    Examples
    --------
    >>> [(stream.name, stream.sfreq) for stream in load_device_profile("polar_h10").streams]
    [('ecg', 130.0), ('acc', 200.0), ('rr', 0.0), ('hr', 0.0)]
    """
    return load_config("devices", name_or_path, DeviceProfile)


def parse_device_profile(text: str, source: str = "device profile") -> DeviceProfile:
    """Read a device profile from YAML text.

    Parameters
    ----------
    text : str
        YAML.
    source : str
        Where the text comes from, for error messages.

    Returns
    -------
    DeviceProfile

    Raises
    ------
    ConfigError
        When the text is not a device profile.

    Examples
    --------
    >>> strap = load_device_profile("polar_h10")
    >>> parse_device_profile(strap.to_yaml()) == strap
    True
    """
    return parse_yaml_model(text, DeviceProfile, source=source)


def list_device_profiles() -> list[DeviceProfile]:
    """Read every profile that ships with the package.

    Returns
    -------
    list of DeviceProfile
        Sorted by name.

    Examples
    --------
    >>> [profile.name for profile in list_device_profiles()][:2]
    ['bitalino_ble', 'blood_pressure']
    """
    return [load_device_profile(name) for name in list_configs("devices")]


def _fits(kind: str, dtype: str) -> bool:
    """Whether every number of a field's type is exact in a stream's number type."""
    if dtype.startswith("float"):
        room = {"float32": 24, "float64": 53}[dtype]
        return {"f32": 24, "f64": 53, "sfloat": 12}.get(kind, 8 * _SIZES[kind]) <= room
    signed, bits = dtype[0] == "i", int(dtype.lstrip("uint"))
    if kind[0] not in "ui" or (kind[0] == "i" and not signed):
        return False
    return 8 * _SIZES[kind] <= bits - (signed and kind[0] == "u")


def _unique(group: str, names: list[str]) -> None:
    """Refuse a name that another entry has."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise WrongKeyError((group, index, "name"), f"'{name}' is already taken")
