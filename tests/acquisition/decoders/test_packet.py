"""Packets that a profile describes: the shipped example, made-up layouts, counters and clocks."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition import load_device_profile, parse_device_profile
from physio_hqc.acquisition.decoders import Facts, Reading, Samples, Trouble, make_decoder
from physio_hqc.config import find_config
from physio_hqc.session import BlockFlag

PERIOD_S = 0.25
LAYOUT = """
name: made_up
title: A made-up band
advertised: {{names: ["Made*"]}}
characteristics:
  - name: data
    service: 0x1234
    uuid: 0x1235
    access: [notify]
    decoder: packet
    packet:
{packet}
streams:
{streams}
"""


def made_up(packet, streams):
    """A decoder of a profile that consists of these parts."""
    lines = "\n".join(f"      {line}" for line in packet.strip().splitlines())
    rows = "\n".join(f"  - {{{row}, characteristic: data}}" for row in streams)
    profile = parse_device_profile(LAYOUT.format(packet=lines, streams=rows))
    assert parse_device_profile(profile.to_yaml()) == profile
    return make_decoder(profile, profile.characteristics[0])


def nordic():
    profile = load_device_profile("nordic_uart_eda")
    return make_decoder(profile, profile.characteristics[1])


def band(number, *, modulo=256, ms=None, temp=3300, eda=None):
    """Packet of the shipped example; its clock stands at the end of the packet."""
    ms = (number + 1) * 250 % 2**32 if ms is None else ms
    eda = [4000 + number % 1000 + k for k in range(4)] if eda is None else eda
    return struct.pack("<BIh4H", number % modulo, ms, temp, *eda)


def samples(found, stream="eda"):
    return [e for e in found if isinstance(e, Samples) and e.stream == stream]


def kinds(found):
    return [entry.kind for entry in found if isinstance(entry, Trouble)]


class TestExample:
    def test_streams_of_different_length_have_the_same_last_time(self):
        eda, temp = nordic().feed(bytes.fromhex("07 E8030000 E40C A00F A10F A20F A30F"), 5.0)
        assert (temp.stream, temp.values.dtype, temp.values.tolist()) == ("temp", "int16", [3300])
        assert (eda.stream, eda.values.dtype) == ("eda", "uint16")
        assert eda.values.tolist() == [4000, 4001, 4002, 4003]
        assert temp.t_device == eda.t_device == 1.0

    def test_time_of_the_first_sample(self):
        text = find_config("devices", "nordic_uart_eda").read_text(encoding="utf-8")
        profile = parse_device_profile(text.replace("time_of: last", "time_of: first"))
        decoder = make_decoder(profile, profile.characteristics[1])
        eda, temp = decoder.feed(band(3), 5.0)
        assert temp.t_device == 1.0
        assert eda.t_device == 1.0 + 3 / 16

    @pytest.mark.parametrize("size", [0, 1, 14, 16, 30])
    def test_wrong_length(self, size):
        (found,) = nordic().feed(bytes(size), 0.0)
        assert found == Trouble("malformed", f"packet: {size} bytes, 15 expected")


class TestCounter:
    def test_nothing_lost(self):
        decoder = nordic()
        found = [e for k in range(600) for e in decoder.feed(band(k), k * PERIOD_S)]
        assert not kinds(found)
        assert all(e.flags == 0 and e.n_lost == 0 for e in found)
        assert [e.t_device for e in samples(found)] == [(k + 1) * 0.25 for k in range(600)]

    @pytest.mark.parametrize("lost", [1, 3, 200, 255, 256, 257, 1000])
    def test_lost_packets_beyond_a_round_of_the_counter(self, lost):
        decoder = nordic()
        decoder.feed(band(7), 0.0)
        found = decoder.feed(band(8 + lost), (1 + lost) * PERIOD_S)
        (eda,) = samples(found)
        (temp,) = samples(found, "temp")
        assert (eda.n_lost, temp.n_lost) == (4 * lost, lost)
        assert eda.flags == temp.flags == BlockFlag.GAP_BEFORE

    def test_duplicate_is_dropped(self):
        decoder = nordic()
        sent = [0, 1, 1, 2, 0, 3]
        found = [e for k in sent for e in decoder.feed(band(k), 0.1 * k)]
        assert [e.t_device for e in samples(found)] == [0.25, 0.5, 0.75, 1.0]
        assert kinds(found) == ["duplicate", "duplicate"]

    @pytest.mark.parametrize("start", [0, 252])
    def test_late_packet_has_its_own_time(self, start):
        decoder = nordic()
        order = [start + k for k in (0, 1, 3, 4, 2, 5, 6)]
        found = [e for n, k in enumerate(order) for e in decoder.feed(band(k), n * PERIOD_S)]
        assert [e.t_device for e in samples(found)] == [(k + 1) * 0.25 for k in order]
        assert [e.n_lost for e in samples(found)] == [0, 0, 4, 0, 0, 0, 0]
        assert kinds(found) == ["reordered"]

    def test_burst_after_a_stall(self):
        decoder = nordic()
        arrivals = [max(k * PERIOD_S, 30.0) if k > 40 else k * PERIOD_S for k in range(300)]
        found = [e for k, t in enumerate(arrivals) for e in decoder.feed(band(k), t)]
        assert not kinds(found)
        assert all(e.flags == 0 for e in found)

    def test_device_that_starts_again(self):
        decoder = nordic()
        for k in range(500, 505):
            decoder.feed(band(k), k * PERIOD_S)
        found = decoder.feed(band(0), 130.0)
        (eda,) = samples(found)
        assert (eda.n_lost, eda.t_device) == (0, 0.25)
        assert eda.flags & BlockFlag.CLOCK_RESET
        assert kinds(found) == ["clock"]
        assert samples(decoder.feed(band(1), 130.25))[0].flags == 0

    def test_clock_that_is_set_ahead(self):
        decoder = nordic()
        for k in range(5):
            decoder.feed(band(k), k * PERIOD_S)
        found = decoder.feed(band(5, ms=3_600_000), 1.25)
        (eda,) = samples(found)
        assert (eda.n_lost, eda.t_device) == (0, 3600.0)
        assert eda.flags & BlockFlag.CLOCK_RESET
        after = decoder.feed(band(6, ms=3_600_250), 1.5)
        assert samples(after)[0].flags == 0

    def test_growing_and_shrinking_lag_is_no_reset(self):
        decoder = nordic()
        lag = np.concatenate([np.linspace(15, 300, 2000), np.linspace(300, 0, 2000)])
        arrivals = np.maximum.accumulate(np.arange(4000) * PERIOD_S + lag)
        found = [e for k, t in enumerate(arrivals) for e in decoder.feed(band(k), float(t))]
        assert not kinds(found)
        assert all(e.flags == 0 for e in found)

    def test_reset_forgets(self):
        decoder = nordic()
        decoder.feed(band(7), 0.0)
        decoder.reset()
        (eda,) = samples(decoder.feed(band(250), 60.0))
        assert (eda.n_lost, eda.flags) == (0, 0)

    @pytest.mark.parametrize("outage", [1.0, 20.0, 63.0, 70.0, 400.0, 3600.0])
    def test_short_clock_goes_on_over_an_outage_of_several_rounds(self, outage):
        decoder = short_clock()
        decoder.feed(ticks(10.0), 110.0)
        decoder.reset()
        (eda,) = samples(decoder.feed(ticks(10.0 + outage), 110.1 + outage))
        assert (eda.t_device, eda.flags) == (10.0 + outage, 0)

    @pytest.mark.parametrize("restarted_at", [0.0, 20.0, 45.0])
    def test_short_clock_that_was_switched_off_meanwhile(self, restarted_at):
        decoder = short_clock()
        decoder.feed(ticks(10.0), 110.0)
        decoder.reset()
        found = decoder.feed(ticks(restarted_at), 180.0)
        (eda,) = samples(found)
        assert (eda.t_device, eda.flags) == (restarted_at, BlockFlag.CLOCK_RESET)
        assert kinds(found) == ["clock"]
        (eda,) = samples(decoder.feed(ticks(restarted_at + 1), 181.0))
        assert (eda.t_device, eda.flags) == (restarted_at + 1, 0)

    def test_long_clock_that_was_switched_off_meanwhile(self):
        decoder = nordic()
        for k in range(8):
            decoder.feed(band(k), k * PERIOD_S)
        decoder.reset()
        found = decoder.feed(band(20), 60.0)
        (eda,) = samples(found)
        assert (eda.t_device, eda.n_lost) == (5.25, 0)
        assert eda.flags & BlockFlag.CLOCK_RESET

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.sampled_from(["send", "lose", "twice", "swap"]), max_size=80), st.booleans())
    def test_sent_minus_lost_is_what_comes_out(self, what, clock):
        decoder = nordic() if clock else without_clock()
        order, number = [0], 1
        for action in what:
            if action == "swap":
                order += [number + 1, number]
            elif action != "lose":
                order += [number] * (2 if action == "twice" else 1)
            number += 2 if action == "swap" else 1
        order.append(number)
        packets = [band(k) if clock else bare(k) for k in order]
        found = [e for n, p in enumerate(packets) for e in decoder.feed(p, n * PERIOD_S)]
        eda = samples(found)
        first = list(dict.fromkeys(order))
        assert len(eda) == len(first)
        if clock:
            assert [e.t_device for e in eda] == [(k + 1) * 0.25 for k in first]
        # What a late packet brings was counted as lost before.
        late = kinds(found).count("reordered")
        assert sum(e.n_lost for e in eda) // 4 - late == number + 1 - len(first)


def without_clock():
    return made_up(
        """
header: [{type: u8, role: sequence}]
blocks: [{samples: 4, fields: [{type: u16, endian: big, stream: eda}]}]
""",
        ["name: eda, modality: eda, units: µS, sfreq: 16, dtype: uint16"],
    )


def short_clock():
    """A clock of 16 bits that starts again every 64 s."""
    return made_up(
        """
header: [{type: u16, role: device_time, unit_s: 0.0009765625}]
blocks: [{samples: 1, fields: [{type: u16, stream: eda}]}]
time_of: last
""",
        ["name: eda, modality: eda, units: µS, sfreq: 4, dtype: uint16"],
    )


def ticks(seconds):
    return struct.pack("<HH", int(seconds * 1024) % 65536, 7)


def bare(number):
    return struct.pack(">B4H", number % 256, *(number * 4 + k for k in range(4)))


def test_late_packet_without_a_clock_stands_apart():
    decoder = without_clock()
    found = [e for n, k in enumerate((0, 2, 1, 3, 4)) for e in decoder.feed(bare(k), n * PERIOD_S)]
    gap = int(BlockFlag.GAP_BEFORE)
    assert [(e.values[0], e.flags) for e in samples(found)] == [
        (0, 0), (8, gap), (4, gap), (12, gap), (16, 0),
    ]  # fmt: skip
    assert all(math.isnan(e.t_device) for e in samples(found))


class TestMadeUp:
    """A wearable of one's own needs a profile and no code."""

    def test_big_endian_24_bit_acceleration_and_sfloat(self):
        decoder = made_up(
            """
header:
  - {type: u16, endian: big, role: constant, value: 0xA55A}
  - {type: u24, endian: big, role: device_time, unit_s: 0.0009765625}
  - {type: u8, role: battery}
  - {type: u8, role: ignore}
blocks:
  - samples: 2
    fields:
      - {type: i24, endian: big, stream: acc, channel: z}
      - {type: i24, stream: acc, channel: x}
      - {type: u8, role: ignore}
  - fields:
      - {type: sfloat, stream: spo2}
""",
            [
                "name: acc, modality: acc, units: g, sfreq: 50, dtype: int32, channels: [x, z]",
                "name: spo2, modality: other, units: '%', sfreq: 0, dtype: float64",
            ],
        )
        data = "A55A 000C00 57 EE" + "FFFFFE 010000 EE" + "000100 FFFFFF EE" + "BDF0 FF07"
        battery, acc, spo2 = decoder.feed(bytes.fromhex(data), 9.0)
        assert battery == Facts({"battery": 0x57})
        assert acc.values.tolist() == [[1, -2], [-1, 256]]
        assert acc.values.dtype == np.int32
        assert acc.t_device == 3.0
        assert isinstance(spo2, Reading)
        assert spo2.values.tolist() == pytest.approx([18.9, math.nan], nan_ok=True)
        assert spo2.times_s.tolist() == [9.0, 9.0]

    def test_planar_channels_and_floats(self):
        decoder = made_up(
            """
blocks:
  - {samples: 3, fields: [{type: f32, endian: big, stream: bio, channel: a}]}
  - {samples: 3, fields: [{type: i16, stream: bio, channel: b}]}
""",
            ["name: bio, modality: other, units: mV, sfreq: 100, dtype: float32, channels: [a, b]"],
        )
        (found,) = decoder.feed(struct.pack(">3f", 0.5, -1, 2) + struct.pack("<3h", 1, -2, 3), 0.0)
        assert found.values.tolist() == [[0.5, 1], [-1, -2], [2, 3]]
        assert found.values.dtype == np.float32

    @pytest.mark.parametrize("kind", ["u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32"])
    @pytest.mark.parametrize("endian", ["little", "big"])
    @given(data=st.binary(min_size=24, max_size=24))
    @settings(deadline=None, max_examples=20)
    def test_every_whole_number(self, kind, endian, data):
        size = int(kind[1:]) // 8
        decoder = made_up(
            f"blocks: [{{fields: [{{type: {kind}, endian: {endian}, stream: eda}}]}}]",
            ["name: eda, modality: eda, units: µS, sfreq: 10"],
        )
        (found,) = decoder.feed(data, 0.0)
        assert found.values.tolist() == [
            int.from_bytes(data[k : k + size], endian, signed=kind[0] == "i")
            for k in range(0, 24, size)
        ]

    def test_small_clock_goes_on_where_it_starts_again(self):
        decoder = made_up(
            """
header: [{type: u16, role: device_time, unit_s: 0.001, modulo: 60000}]
blocks: [{samples: 1, fields: [{type: u8, stream: eda}]}]
""",
            ["name: eda, modality: eda, units: µS, sfreq: 1, dtype: uint8"],
        )
        rng = np.random.default_rng(0)
        seconds = [*range(10, 200), *range(500, 700)]  # an outage of five rounds
        found = [
            decoder.feed(struct.pack("<HB", s % 60 * 1000, 1), s + rng.uniform(0, 3))[-1].t_device
            for s in seconds
        ]
        assert np.diff(found) == pytest.approx(np.diff(seconds))

    def test_stream_of_bytes(self):
        decoder = made_up(
            """
framing: fixed_length
header: [{type: u8, role: constant, value: 0xA0}, {type: u8, role: sequence}]
blocks: [{samples: 2, fields: [{type: u8, stream: eda}]}]
""",
            ["name: eda, modality: eda, units: µS, sfreq: 20, dtype: uint8"],
        )
        sent = [bytes([0xA0, k, k, 100 + k]) for k in range(60)]
        stream = b"\x01\xa0\x02" + b"".join(sent[:30]) + b"\x00\xff" + b"".join(sent[30:])
        found = [
            e for k in range(0, len(stream), 7) for e in decoder.feed(stream[k : k + 7], k / 40)
        ]
        values = np.concatenate([e.values for e in samples(found)])
        assert values.reshape(-1, 2).tolist() == [list(p[2:]) for p in sent]
        assert kinds(found) == ["malformed", "malformed"]

    def test_variable_length(self):
        decoder = made_up(
            "blocks: [{fields: [{type: u16, stream: eda}]}]",
            ["name: eda, modality: eda, units: µS, sfreq: 20, dtype: uint16"],
        )
        assert decoder.feed(bytes(8), 0.0)[0].values.shape == (4,)
        assert decoder.feed(b"", 0.0) == []
        assert kinds(decoder.feed(bytes(3), 0.0)) == ["malformed"]

    def test_constant_and_clock_that_make_no_sense(self):
        decoder = made_up(
            """
header: [{type: u8, role: constant, value: 7}, {type: f64, role: device_time, unit_s: 1.0}]
blocks: [{samples: 1, fields: [{type: u8, stream: eda}]}]
""",
            ["name: eda, modality: eda, units: µS, sfreq: 1, dtype: uint8"],
        )
        for constant, clock in ((6, 0.0), (7, math.nan), (7, math.inf), (7, 1e300)):
            found = decoder.feed(struct.pack("<BdB", constant, clock, 1), 0.0)
            assert kinds(found) == ["malformed"]
        assert decoder.feed(struct.pack("<BdB", 7, 1.5, 1), 0.0)[0].t_device == 1.5
