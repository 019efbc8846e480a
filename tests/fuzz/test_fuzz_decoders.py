"""Whatever comes over the air: no bytes make a decoder raise, and what it delivers makes sense.

Notifications follow each other in one decoder, as in a recording: also what it keeps from one to
the next has to survive. Valid packets are those of the devices' documents and of the virtual
peripherals, which have encoders of their own. The two kinds of notifications share the cases.
"""

import struct
from collections import Counter
from datetime import datetime

import numpy as np
import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from fuzzing import CASES, any_of, fuzz, mutated, noise, one_in, text

from physio_hqc.acquisition import list_device_profiles, load_device_profile
from physio_hqc.acquisition.ble.air import sighting
from physio_hqc.acquisition.ble.fit import fitting_profiles, identity, same_serial, serial_in_name
from physio_hqc.acquisition.ble.replies import acc_factor, reply_trouble
from physio_hqc.acquisition.decoders import (
    CuffReading,
    CurrentTime,
    Decoder,
    Facts,
    MalformedError,
    PmdReply,
    PmdStopped,
    Reading,
    Samples,
    Trouble,
    decode_battery,
    decode_current_time,
    decode_pnp_id,
    decode_pulse_oximeter,
    decode_text,
    make_decoder,
    parse_pmd_reply,
    parse_pmd_settings,
    pmd_features,
)
from physio_hqc.acquisition.profiles import DeviceProfile
from physio_hqc.acquisition.virtual.cuff import CuffReading as VirtualReading
from physio_hqc.acquisition.virtual.cuff import blood_pressure_measurement
from physio_hqc.acquisition.virtual.eda_band import eda_packet
from physio_hqc.acquisition.virtual.heart_rate import heart_rate_measurement
from physio_hqc.acquisition.virtual.polar_h10 import acc_frame, ecg_frame

ANY = noise()
FLAGS = 63
NOTES = {
    *("malformed", "unsupported", "duplicate", "reordered", "clock", "trailing"),
    *("no_intervals", "implausible"),
}
PROFILES = {profile.name: profile for profile in list_device_profiles()}


def packets(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


HEART_RATE = [
    *packets(
        *("0055", "04FF", "1E5532002100", "1F0101320101000201FFFF", "170101", "007F", "018080"),
        *("0200", "090000FFFF", "08007F80", "1000FFFF", "110000FFFF7F80", "1100000000"),
        *("103C0004", "104B35034303", "164842034F03", "10B4550155015501", "1048"),
    ),
    heart_rate_measurement(72, [850, 860], contact=True),
]
BLOOD_PRESSURE = [
    *packets(
        *("1E8A00580078000000041114293B3C00012700", "15BDF00B009FF03C001200", "00BDF00B009FF0"),
        *("1E80004F006000EA07030E0F091A4800010000", "1FA0F069F07BF0EA07030E0F091A4800FF0400"),
        *("00FF07FF07FF07", "0480004F00FF07FF07", "1E040000000000000000041114293B3C00012700"),
        *("156FF0000000003C001200", "010203040506", "03020304050607"),
    ),
    blood_pressure_measurement(VirtualReading(128, 79, 96, 72, when=datetime(2026, 3, 14))),
]
STAMP_NS = 599_616_000_000_000_000
POLAR = [
    *packets(
        *("0000943577000000000002 80FF028000", "02009435770000000001F7FFFFFFE703F8FFFEFFE503"),
        *("02EA54A2428B4552080145FFE4FFB503", "02EA54A2428B45520880F1FF1400F00306017B0F08"),
        "02EA54A2428B45520881D0FF6501E40F0802FC07FF0C13F2",
        "0085A021B4D636C10900FBFFFF0000000C000059010001FCFF",
    ),
    ecg_frame(STAMP_NS, np.arange(-36, 37) * 20),
    acc_frame(STAMP_NS, np.arange(108).reshape(36, 3)),
]
CONTROL = packets(
    *("F0010000000001820001010E00", "F00102000000041900320064 00C8000101100002030200040008 00"),
    *("F001020000000134000101100002010800040103", "F0020200 0001", "F002020000050140DA7F39"),
    *("F003020000", "F003000000", "F0010607 00", "01 0002", "F0020006", "0F0500", "0F6E00"),
    "0001340001011000 0204F500F401E803D007040103",
)
VALUES = packets(
    *("64", "01", "506F6C617220456C656374726F204F790000", "016B000A000201"),
    *("EA07030E0F091A068001", "0062004800", "016200480061004B00", "1F" + "0062" * 9),
)
BAND = [eda_packet(k % 256, 250 * k, 3200, [4000 + k] * 4) for k in range(250, 262)]


def bitalino_frames(first: int, n: int, channels: int) -> bytes:
    """Frames whose counter goes on, written bit by bit from the maker's description."""
    result = b""
    for number in range(first, first + n):
        values = [(600 + 40 * k + number) % (1024 if k < 4 else 64) for k in range(channels)]
        bits = format(number % 16, "04b") + "0000"  # from the last byte on: counter, checksum
        bits += "0000" + "".join(
            format(value, "010b" if k < 4 else "06b") for k, value in enumerate(values)
        )
        bits += "0" * (-len(bits) % 8)
        frame = bytearray(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))[::-1]
        crc = 0
        for byte in frame:
            for bit in f"{byte:08b}":
                crc = crc << 1 | int(bit)
                crc ^= 0b10011 if crc & 16 else 0
        frame[-1] |= crc
        result += bytes(frame)
    return result


BITALINO = [bitalino_frames(first, 6, 2) for first in range(16)]


def check(found: list, profile: DeviceProfile, size: int, t: float) -> None:
    """Everything that came out of one notification."""
    streams = {entry.name: entry for entry in profile.streams}
    for item in found:
        if isinstance(item, Trouble):
            assert item.kind in NOTES
            assert item.text
            assert item.text.isprintable()
            assert len(item.text) < 200
        elif isinstance(item, Facts):
            assert set(item.values) <= {"battery", "contact"}
            assert 0 <= item.values.get("battery", 0) <= 100
        elif isinstance(item, CuffReading):
            check_cuff(item)
        else:
            assert isinstance(item, Samples | Reading)
            spec = streams[item.stream]
            assert item.values.dtype == spec.dtype
            assert item.values.shape[1:] == ((len(spec.channels),) if spec.channels else ())
            # Polar packs a difference into no less than three bits a sample.
            assert 0 < len(item.values) <= 8 * (size + 64)
            assert 0 <= item.flags <= FLAGS
            if spec.dtype.startswith("float") and spec.modality != "eda":
                assert np.isfinite(item.values).all()
            if isinstance(item, Reading):
                assert item.times_s.shape == (len(item.values),)
                assert np.isfinite(item.times_s).all()
                assert (np.diff(item.times_s) >= 0).all()
                assert item.times_s[-1] <= t + 600
            else:
                assert isinstance(item.n_lost, int)
                assert item.n_lost >= 0
                assert np.isnan(item.t_device) or abs(item.t_device) < 1e12


def check_cuff(reading: CuffReading) -> None:
    assert reading.values.shape == (4,)
    gone = [bool(reading.missing.get(name)) for name in ("SBP", "DBP", "MAP", "HR")]
    assert np.isnan(reading.values).tolist() == gone
    assert not np.isinf(reading.values).any()
    # What no adult has is said, however well it was packed.
    plausible = ((50, 280), (20, 200), (30, 240), (25, 250))
    odd = any(not low <= v <= high for v, (low, high) in zip(reading.values, plausible, strict=True)
              if np.isfinite(v))  # fmt: skip
    assert reading.problems or not (odd or any(gone[:3]))
    assert all(text.isprintable() for text in reading.problems)


LAYOUTS = """
name: lab_band
title: every kind of number
advertised: {names: ["Lab*"]}
characteristics:
  - name: whole
    service: 6E400001-B5A3-F393-E0A9-E50E24DCCA9E
    uuid: 6E400003-B5A3-F393-E0A9-E50E24DCCA9E
    access: [notify]
    decoder: packet
    packet:
      header:
        - {type: u16, role: sequence, endian: big}
        - {type: f32, role: device_time, unit_s: 0.01}
        - {type: u8, role: battery}
      blocks:
        - samples: 2
          fields:
            - {type: sfloat, stream: temp}
        - fields:
            - {type: i24, stream: acc, channel: x, endian: big}
            - {type: u24, stream: acc, channel: y}
            - {type: i8, role: ignore}
      time_of: first
  - name: cut
    service: 6E400001-B5A3-F393-E0A9-E50E24DCCA9E
    uuid: 6E400004-B5A3-F393-E0A9-E50E24DCCA9E
    access: [notify]
    decoder: packet
    packet:
      framing: fixed_length
      header:
        - {type: u16, role: constant, value: 43690}
        - {type: u64, role: device_time, unit_s: 0.000001}
      blocks:
        - samples: 3
          fields:
            - {type: f32, stream: eda}
streams:
  - {name: temp, modality: temp, units: "°C", sfreq: 2, characteristic: whole, dtype: float32}
  - {name: acc, modality: acc, units: g, sfreq: 10, characteristic: whole, dtype: int32,
     channels: [x, y]}
  - {name: eda, modality: eda, units: µS, sfreq: 0, characteristic: cut, dtype: float32}
"""
WHOLE = [
    struct.pack(">H", k) + struct.pack("<fBHH", 20.0 * k, 77, 0xF140, 0xF141) + bytes(range(14))
    for k in range(65_530, 65_536)
]
CUT = [struct.pack("<HQ3f", 0xAAAA, 300_000 * k, 4.0, 4.1, 4.2) * 3 for k in range(6)]


def feed_all(corpus: list[bytes], decoders: dict[str, tuple[DeviceProfile, Decoder]]) -> None:
    """Feed every notification to every decoder; each has to deliver some and refuse some."""
    outcomes: Counter[str] = Counter()
    clock = [0.0]

    @fuzz(any_of(mutated(corpus, most=2), ANY), one_of=2)
    def run(data):
        clock[0] += 0.02 + len(data) % 7
        for name, (profile, decoder) in decoders.items():
            found = decoder.feed(data, clock[0])
            check(found, profile, len(data), clock[0])
            outcomes[name] += any(not isinstance(item, Trouble | Facts) for item in found)
            outcomes[f"{name} refuses"] += any(
                isinstance(item, Trouble) and item.kind in ("malformed", "unsupported")
                for item in found
            )
            if data[:1] == b"\xa5":
                decoder.reset()
        outcomes["cases"] += 1

    run()
    for name in decoders:
        assert min(outcomes[name], outcomes[f"{name} refuses"]) > 0.01 * outcomes["cases"], outcomes


def decoders_of(profile: DeviceProfile, *kinds: str) -> dict[str, tuple[DeviceProfile, Decoder]]:
    found = {
        f"{profile.name} {entry.name}": (profile, make_decoder(profile, entry))
        for entry in profile.characteristics
        if entry.decoder in kinds
    }
    assert len(found) >= len(kinds)
    return found


@pytest.mark.slow
def test_notifications_of_one_packet():
    decoders = {
        **decoders_of(PROFILES["heart_rate"], "standard:heart_rate"),
        **decoders_of(
            PROFILES["blood_pressure"], "standard:blood_pressure", "standard:cuff_pressure"
        ),
        **decoders_of(PROFILES["polar_h10"], "polar_pmd"),
    }
    feed_all(HEART_RATE + BLOOD_PRESSURE + POLAR, decoders)


@pytest.mark.slow
def test_notifications_that_belong_together(tmp_path):
    path = tmp_path / "lab_band.yaml"
    path.write_text(LAYOUTS, encoding="utf-8")
    decoders = {
        **decoders_of(PROFILES["bitalino_ble"], "bitalino"),
        **decoders_of(PROFILES["nordic_uart_eda"], "packet"),
        **decoders_of(load_device_profile(path), "packet"),
    }
    feed_all(BITALINO + BAND + WHOLE + CUT, decoders)


def _of(decode, data, outcomes):
    """What a parser makes of it; None where it refuses in one line."""
    try:
        result, refusal = decode(data), None
    except MalformedError as error:
        result, refusal = None, str(error)
    outcomes[decode.__name__ + (" refused" if refusal else "")] += 1
    assert refusal is None or (refusal and refusal.isprintable())
    return result


@pytest.mark.slow
def test_answers_and_values_that_are_read():
    """Control point, battery, device information, current time: one call each, nothing kept."""
    outcomes: Counter[str] = Counter()
    strap = PROFILES["polar_h10"]

    @fuzz(any_of(mutated(CONTROL + VALUES, most=2), ANY))
    def run(data):
        reply = _of(parse_pmd_reply, data, outcomes)
        assert isinstance(reply, PmdReply | PmdStopped | None)
        if isinstance(reply, PmdReply):
            assert reply.status_text
            assert np.isfinite(reply.factor)
            assert reply.factor != 0
            assert sum(map(len, reply.settings.values())) <= len(data)
        trouble = reply_trouble(strap, strap.start[0], data)
        assert trouble is None or trouble.text.isprintable()
        factor = acc_factor(strap, strap.start[0], data)
        assert factor is None or (np.isfinite(factor) and factor != 0)
        for decode in (parse_pmd_settings, pmd_features, decode_pnp_id):
            _of(decode, data, outcomes)
        percent = _of(decode_battery, data, outcomes)
        assert percent is None or 0 <= percent <= 100
        text = _of(decode_text, data, outcomes)
        assert text.isprintable()
        assert len(text) <= len(data)
        when = _of(decode_current_time, data, outcomes)
        assert when is None or isinstance(when, CurrentTime)
        oxygen = _of(decode_pulse_oximeter, data, outcomes)
        if oxygen is not None:
            assert not np.isinf([oxygen.spo2, oxygen.pulse, oxygen.amplitude]).any()

    run()
    assert outcomes["decode_text"] >= CASES
    for decode in (parse_pmd_reply, parse_pmd_settings, pmd_features, decode_current_time,
                   decode_pulse_oximeter, decode_pnp_id):  # fmt: skip
        read, refused = outcomes[decode.__name__], outcomes[f"{decode.__name__} refused"]
        assert min(read, refused) > 0.002 * CASES, (decode.__name__, read, refused)


NAMES = [
    "Polar H10 1A2B3C4D",
    "EDA Band",
    "A&D_UA-651BLE_123456",
    "",
    "*",
    "[",
    "\x1b[2J",
    "\ud800",
]
UUIDS = ["0000180d-0000-1000-8000-00805f9b34fb", "0000180D-0000-1000-8000-00805F9B34FB", "180d"]


@pytest.mark.slow
def test_advertisements():
    """Anybody may advertise anything."""
    outcomes: Counter[str] = Counter()
    profiles = list(PROFILES.values())

    def any_advertisement(rng):
        name = text(rng, 80) if one_in(rng, 2) else rng.choice(NAMES)
        uuids = [
            text(rng, 40) if one_in(rng, 2) else rng.choice(UUIDS) for _ in range(rng.randrange(4))
        ]
        return name, uuids, rng.choice(["", "1A2B3C4D", "[", "3c4d"])

    @fuzz(any_advertisement)
    def run(case):
        name, uuids, serial = case
        device = BLEDevice(name or "00:11", name, None)
        seen = sighting(device, AdvertisementData(name, {}, {}, uuids, None, -60, ()))
        assert len(seen.name) <= 64
        assert not seen.name or seen.name.isprintable()
        assert seen.after(seen).services == tuple(dict.fromkeys(seen.services))
        fitting = fitting_profiles(profiles, seen.name, seen.services)
        assert set(fitting) <= set(PROFILES)
        outcomes["fits" if fitting else "fits nothing"] += 1
        assert identity(serial or "1", seen.name, device.address) in ("it", "maybe", "other")
        assert serial_in_name(seen.name) in seen.name
        assert isinstance(same_serial(serial, name), bool)

    run()
    assert min(outcomes["fits"], outcomes["fits nothing"]) > 0.01 * CASES, outcomes
