"""Decoders: bytes of a notification to samples, readings, facts and troubles; they never raise."""

from physio_hqc.acquisition.decoders.bitalino import BitalinoDecoder, decode_bitalino
from physio_hqc.acquisition.decoders.blood_pressure import (
    BloodPressure,
    BloodPressureDecoder,
    CuffPressureDecoder,
    decode_blood_pressure,
    decode_status,
)
from physio_hqc.acquisition.decoders.device_information import (
    CurrentTime,
    PnpId,
    decode_battery,
    decode_current_time,
    decode_pnp_id,
    decode_text,
)
from physio_hqc.acquisition.decoders.heart_rate import (
    BeatClock,
    HeartRate,
    HeartRateDecoder,
    decode_heart_rate,
)
from physio_hqc.acquisition.decoders.make import make_decoder
from physio_hqc.acquisition.decoders.packet import PacketDecoder
from physio_hqc.acquisition.decoders.polar_pmd import (
    PmdDecoder,
    PmdFrame,
    PmdReply,
    PmdStopped,
    decode_pmd_frame,
    measurement_name,
    parse_pmd_reply,
    parse_pmd_settings,
    pmd_features,
    unpack_int24,
)
from physio_hqc.acquisition.decoders.pulse_oximeter import PulseOximeter, decode_pulse_oximeter
from physio_hqc.acquisition.decoders.results import (
    CuffReading,
    Decoder,
    Facts,
    MalformedError,
    Reading,
    Result,
    Samples,
    Trouble,
    UnsupportedError,
)
from physio_hqc.acquisition.decoders.sfloat import decode_sfloat

__all__ = [
    "BeatClock",
    "BitalinoDecoder",
    "BloodPressure",
    "BloodPressureDecoder",
    "CuffPressureDecoder",
    "CuffReading",
    "CurrentTime",
    "Decoder",
    "Facts",
    "HeartRate",
    "HeartRateDecoder",
    "MalformedError",
    "PacketDecoder",
    "PmdDecoder",
    "PmdFrame",
    "PmdReply",
    "PmdStopped",
    "PnpId",
    "PulseOximeter",
    "Reading",
    "Result",
    "Samples",
    "Trouble",
    "UnsupportedError",
    "decode_battery",
    "decode_bitalino",
    "decode_blood_pressure",
    "decode_current_time",
    "decode_heart_rate",
    "decode_pmd_frame",
    "decode_pnp_id",
    "decode_pulse_oximeter",
    "decode_sfloat",
    "decode_status",
    "decode_text",
    "make_decoder",
    "measurement_name",
    "parse_pmd_reply",
    "parse_pmd_settings",
    "pmd_features",
    "unpack_int24",
]
