"""What a device answers to a command, in words."""

from __future__ import annotations

from dataclasses import dataclass

from physio_hqc.acquisition.decoders import MalformedError, PmdReply, PmdStopped, parse_pmd_reply
from physio_hqc.acquisition.decoders.polar_pmd import ALREADY_IN_STATE, INVALID_MTU
from physio_hqc.acquisition.profiles import DeviceProfile, Write

_IN_CHARGER = 13
_TYPE = 0x3F
_ADVICE = {
    INVALID_MTU: "the link carries too small packets; another Bluetooth adapter may help",
    _IN_CHARGER: "take it off the charger",
}


@dataclass(frozen=True)
class ReplyTrouble:
    """A command that did not simply work.

    Attributes
    ----------
    kind, text : str
        As for :meth:`~physio_hqc.acquisition.Sink.trouble`.
    refused : bool
        Whether the stream does not come; False where it may well.
    """

    kind: str
    text: str
    refused: bool


def reply_trouble(profile: DeviceProfile, write: Write, reply: bytes | None) -> ReplyTrouble | None:
    """What is wrong with the reply to a start command; None when all is well.

    Parameters
    ----------
    profile : DeviceProfile
    write : Write
        The command.
    reply : bytes or None
        What came; None for nothing.

    Returns
    -------
    ReplyTrouble or None

    Examples
    --------
    >>> from physio_hqc.acquisition import load_device_profile
    >>> strap = load_device_profile("polar_h10")
    >>> reply_trouble(strap, strap.start[0], bytes.fromhex("F0 02 00 0A")).text
    'ecg not started: invalid MTU (10); the link carries too small packets; ...'
    >>> reply_trouble(strap, strap.start[0], bytes.fromhex("F0 02 00 00 00 01"))
    """
    if write.reply is None:
        return None
    what = write.stream or f"command {write.hex}"
    if reply is None:
        return ReplyTrouble("start", f"{what}: no answer to the start command", refused=False)
    if reply.startswith(bytes.fromhex(write.reply)):
        return None
    if not speaks_pmd(profile, write.characteristic):
        text = f"{what} not started: answer {reply.hex(' ').upper()}, {write.reply} expected"
        return ReplyTrouble("start", text, refused=True)
    try:
        parsed = parse_pmd_reply(reply)
    except MalformedError as error:
        return ReplyTrouble("start", f"{what}: {error}", refused=False)
    if not isinstance(parsed, PmdReply) or parsed.status == 0:
        return None
    if parsed.status == ALREADY_IN_STATE:
        text = f"{what} was already streaming (6); listening to it as it is"
        return ReplyTrouble("already_in_state", text, refused=False)
    advice = f"; {_ADVICE[parsed.status]}" if parsed.status in _ADVICE else ""
    number = "" if parsed.status_text.startswith("unknown") else f" ({parsed.status})"
    text = f"{what} not started: {parsed.status_text}{number}{advice}"
    return ReplyTrouble("start", text, refused=True)


def acc_factor(profile: DeviceProfile, write: Write, reply: bytes | None) -> float | None:
    """Factor of compressed samples that the answer to a start command brings."""
    if reply is None or not speaks_pmd(profile, write.characteristic):
        return None
    try:
        parsed = parse_pmd_reply(reply)
    except MalformedError:
        return None
    factors = parsed.settings.get("factor", ()) if isinstance(parsed, PmdReply) else ()
    return factors[0] if factors else None


def stopped_by_itself(profile: DeviceProfile, characteristic: str, data: bytes) -> set[str]:
    """Streams that a device says it has stopped without being asked.

    Examples
    --------
    >>> from physio_hqc.acquisition import load_device_profile
    >>> strap = load_device_profile("polar_h10")
    >>> sorted(stopped_by_itself(strap, "control", bytes.fromhex("01 02 00")))
    ['acc', 'ecg']
    """
    if data[:1] != b"\x01" or not speaks_pmd(profile, characteristic):
        return set()
    said = parse_pmd_reply(data)
    if not isinstance(said, PmdStopped):
        return set()
    # A command to start names the type of measurement in its second byte.
    return {
        write.stream
        for write in profile.start
        if write.stream
        and write.characteristic == characteristic
        and write.data[1:2]
        and write.data[1] & _TYPE in said.measurements
    }


def speaks_pmd(profile: DeviceProfile, characteristic: str) -> bool:
    """Whether a characteristic is the control point of Polar Measurement Data."""
    services = {e.service for e in profile.characteristics if e.decoder == "polar_pmd"}
    return any(
        e.name == characteristic and e.decoder is None and e.service in services
        for e in profile.characteristics
    )
