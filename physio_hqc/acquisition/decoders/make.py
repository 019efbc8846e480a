"""Which decoder a characteristic of a profile has."""

from __future__ import annotations

from physio_hqc.acquisition.decoders.bitalino import BitalinoDecoder
from physio_hqc.acquisition.decoders.blood_pressure import (
    BloodPressureDecoder,
    CuffPressureDecoder,
)
from physio_hqc.acquisition.decoders.heart_rate import HeartRateDecoder
from physio_hqc.acquisition.decoders.packet import PacketDecoder
from physio_hqc.acquisition.decoders.polar_pmd import PmdDecoder
from physio_hqc.acquisition.decoders.results import Decoder
from physio_hqc.acquisition.profiles import Characteristic, DeviceProfile, StreamSpec
from physio_hqc.errors import ConfigError


def make_decoder(profile: DeviceProfile, characteristic: Characteristic) -> Decoder:
    """Make the decoder of one characteristic.

    Which of the profile's streams is which is told by their modality: ``rr`` and another one
    for the heart rate service, ``ecg`` and ``acc`` for Polar's, the order for BITalino, the
    layout for packets.

    Parameters
    ----------
    profile : DeviceProfile
    characteristic : Characteristic
        One of the profile's that has a decoder.

    Returns
    -------
    Decoder

    Raises
    ------
    ConfigError
        If it has no decoder.

    Examples
    --------
    >>> from physio_hqc.acquisition import load_device_profile
    >>> profile = load_device_profile("heart_rate")
    >>> decoder = make_decoder(profile, profile.characteristics[0])
    >>> for found in decoder.feed(bytes.fromhex("10 3C 00 04"), 5.0):
    ...     print(found)
    Facts(values={'contact': None})
    Reading(stream='hr', values=array([60], dtype=uint16), times_s=array([5.]), flags=0)
    Reading(stream='rr', values=array([1024], dtype=uint16), times_s=array([5.]), flags=0)
    """
    streams = [entry for entry in profile.streams if entry.characteristic == characteristic.name]
    if characteristic.packet is not None:
        return PacketDecoder(characteristic.packet, streams)
    match characteristic.decoder:
        case "standard:heart_rate":
            rr = next((entry for entry in streams if entry.modality == "rr"), None)
            hr = next((entry for entry in streams if entry.modality != "rr"), None)
            return HeartRateDecoder(_name(rr), _name(hr), _dtype(rr), _dtype(hr))
        case "standard:blood_pressure":
            return BloodPressureDecoder(streams[0].name if streams else "cuff")
        case "standard:cuff_pressure":
            first = streams[0] if streams else None
            return CuffPressureDecoder(_name(first) or "cuff_pressure", _dtype(first, "float64"))
        case "polar_pmd":
            ecg = next((entry for entry in streams if entry.modality == "ecg"), None)
            acc = next((entry for entry in streams if entry.modality == "acc"), None)
            return PmdDecoder(_name(ecg), _name(acc), _dtype(ecg, "int32"), _dtype(acc, "int16"))
        case "bitalino":
            columns = [(entry.name, max(1, len(entry.channels)), entry.dtype) for entry in streams]
            return BitalinoDecoder(columns, streams[0].sfreq)
    raise ConfigError(f"{profile.name}: characteristic '{characteristic.name}' has no decoder")


def _name(stream: StreamSpec | None) -> str | None:
    return None if stream is None else stream.name


def _dtype(stream: StreamSpec | None, default: str = "uint16") -> str:
    return default if stream is None else stream.dtype
