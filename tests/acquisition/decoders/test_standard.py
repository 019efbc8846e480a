"""SFLOAT, heart rate, blood pressure, device information against published and built vectors.

Each parameter's id begins with its provenance: P published, C constructed and decoded elsewhere,
H reported from hardware.
"""

import math
from datetime import datetime

import numpy as np
import pytest

from physio_hqc.acquisition.decoders import (
    BloodPressureDecoder,
    CuffPressureDecoder,
    CuffReading,
    Facts,
    MalformedError,
    Reading,
    Trouble,
    decode_battery,
    decode_blood_pressure,
    decode_current_time,
    decode_heart_rate,
    decode_pnp_id,
    decode_pulse_oximeter,
    decode_sfloat,
    decode_status,
    decode_text,
)
from physio_hqc.acquisition.decoders.blood_pressure import as_datetime


def vectors(*rows):
    """Parameters whose ids are provenance and bytes."""
    return [pytest.param(bytes.fromhex(row[1]), *row[2:], id=f"{row[0]}-{row[1]}") for row in rows]


def only(found, kind):
    return [entry for entry in found if isinstance(entry, kind)]


SFLOATS = vectors(
    ("P", "8A00", 138.0), ("P", "BDF0", 18.9), ("P", "9FF0", 15.9), ("P", "0102", 513.0),
    ("P", "01FE", -51.1), ("P", "FF02", 767.0), ("C", "7800", 120.0), ("C", "78F0", 12.0),
    ("C", "A0F0", 16.0), ("C", "01EE", -5.11), ("C", "B0F4", 120.0), ("C", "B5F4", 120.5),
    ("C", "7880", 1.2e-6),
)  # fmt: skip


class TestSfloat:
    @pytest.mark.parametrize(("data", "value"), SFLOATS)
    def test_value_is_the_nearest_float(self, data, value):
        values, kinds = decode_sfloat(np.frombuffer(data, dtype="<u2"))
        assert values.tolist() == [value]
        assert kinds == [""]

    @pytest.mark.parametrize(
        ("word", "kind"),
        [
            (0x07FF, "not a number"), (0x0800, "not at this resolution"),
            (0x07FE, "positive infinity"), (0x0802, "negative infinity"),
            (0x0801, "reserved value"),
        ],
    )  # fmt: skip
    def test_special_words(self, word, kind):
        values, kinds = decode_sfloat([word])
        assert np.isnan(values).all()
        assert kinds == [kind]

    def test_every_word_is_its_decimal_number(self):
        words = np.arange(65536)
        values, kinds = decode_sfloat(words)
        for word in range(0, 65536, 7):
            mantissa, exponent = word & 0xFFF, word >> 12
            mantissa -= 4096 * (mantissa >= 2048)
            exponent -= 16 * (exponent >= 8)
            if not kinds[word]:
                assert values[word] == float(f"{mantissa}e{exponent}")
        assert sum(bool(kind) for kind in kinds) == 5


HEART_RATES = vectors(
    ("P", "0055", 85, None, None, []),
    ("P", "04FF", 255, False, None, []),
    ("P", "1E5532002100", 85, True, 50, [33]),
    ("P", "1F0101320101000201FFFF", 257, True, 306, [1, 258, 65535]),
    ("P", "170101", 257, True, None, []),
    ("P", "007F", 127, None, None, []),
    ("P", "018080", 32896, None, None, []),
    ("P", "017F7F", 32639, None, None, []),
    ("P", "0200", 0, None, None, []),
    ("P", "090000FFFF", 0, None, 65535, []),
    ("P", "08007F80", 0, None, 32895, []),
    ("P", "1000FFFF", 0, None, None, [65535]),
    ("P", "110000FFFF7F80", 0, None, None, [65535, 32895]),
    ("P", "1100000000", 0, None, None, [0]),
    ("C", "103C0004", 60, None, None, [1024]),
    ("C", "104B35034303", 75, None, None, [821, 835]),
    ("C", "164842034F03", 72, True, None, [834, 847]),
    ("C", "10B4550155015501", 180, None, None, [341, 341, 341]),
    ("C", "1048", 72, None, None, []),
)


class TestHeartRate:
    @pytest.mark.parametrize(("data", "hr", "contact", "energy", "ticks"), HEART_RATES)
    def test_vector(self, data, hr, contact, energy, ticks):
        packet = decode_heart_rate(data)
        assert (packet.hr, packet.contact, packet.energy_kj) == (hr, contact, energy)
        assert packet.rr_ticks.dtype == np.uint16
        assert packet.rr_ticks.tolist() == ticks

    def test_milliseconds(self):
        ticks = decode_heart_rate(bytes.fromhex("104B35034303")).rr_ticks
        assert (ticks / 1.024).tolist() == pytest.approx([801.7578, 815.4297], abs=5e-5)

    @pytest.mark.parametrize("text", ["", "00", "0101", "08 00 7F", "1F 01 01 32"])
    def test_cut_off(self, text):
        with pytest.raises(MalformedError, match="heart rate"):
            decode_heart_rate(bytes.fromhex(text))

    @pytest.mark.parametrize(
        ("text", "kind", "count"),
        [("104842", "malformed", 0), ("1048 4203 4F", "malformed", 1),
         ("170101", "no_intervals", 0), ("0048 01", "trailing", 0), ("F0 48 4203", "", 1)],
    )  # fmt: skip
    def test_odd_packets_give_what_is_whole(self, text, kind, count):
        packet = decode_heart_rate(bytes.fromhex(text))
        assert packet.rr_ticks.size == count
        assert [note.kind for note in packet.notes] == [kind] * bool(kind)


READINGS = vectors(
    ("P", "1E8A00580078000000041114293B3C00012700", [138, 88, 120, 60], "mmHg", 1),
    ("P", "15BDF00B009FF03C001200", [141.76, 82.51, 119.26, 60], "kPa", None),
    ("P", "00BDF00B009FF0", [18.9, 11.0, 15.9, math.nan], "mmHg", None),
    ("C", "1E80004F006000EA07030E0F091A4800010000", [128, 79, 96, 72], "mmHg", 1),
    ("C", "1FA0F069F07BF0EA07030E0F091A4800FF0400", [120.01, 78.76, 92.26, 72], "kPa", None),
    ("C", "00FF07FF07FF07", [math.nan] * 4, "mmHg", None),
    ("C", "0480004F00FF07FF07", [128, 79, math.nan, math.nan], "mmHg", None),
)
GOOD = "1E80004F006000EA07030E0F091A480001{}"


def reading(text, features=None):
    decoder = BloodPressureDecoder("cuff")
    decoder.features = features
    (found,) = decoder.feed(bytes.fromhex(text), 10.0)
    return found


class TestBloodPressure:
    @pytest.mark.parametrize(("data", "values", "unit", "user"), READINGS)
    def test_vector(self, data, values, unit, user):
        (found,) = BloodPressureDecoder("cuff").feed(data, 10.0)
        assert isinstance(found, CuffReading)
        assert found.values.tolist() == pytest.approx(values, abs=0.005, nan_ok=True)
        assert (found.unit_reported, found.user, found.stream) == (unit, user, "cuff")
        # Every missing value says why, and nothing else does.
        missing = {n for n, v in zip(("SBP", "DBP", "MAP", "HR"), values, strict=True) if v != v}
        assert set(found.missing) == missing

    def test_kilopascal_as_sent(self):
        sent = decode_blood_pressure(bytes.fromhex("15BDF00B009FF03C001200"))
        assert sent.pressures.tolist() == [18.9, 11.0, 15.9]

    def test_good_reading_has_no_problem(self):
        found = reading(GOOD.format("0000"))
        assert found.problems == ()
        assert found.cuff_time == datetime(2026, 3, 14, 15, 9, 26)
        assert found.status == {
            "movement": False, "loose": False, "irregular_pulse": False, "position": False,
            "pulse_range": "in range",
        }  # fmt: skip

    def test_unknown_year(self):
        data = bytes.fromhex("1E8A00580078000000041114293B3C00012700")
        assert decode_blood_pressure(data).stamp == (0, 4, 17, 20, 41, 59)
        assert reading(data.hex()).cuff_time is None

    def test_impossible_time_is_a_problem_not_an_error(self):
        found = reading(GOOD.format("0000").replace("030E", "0D28"))
        assert found.cuff_time is None
        assert found.problems == ("the device's time 2026-13-40 15:09:26 does not exist",)
        with pytest.raises(MalformedError):
            as_datetime((2026, 2, 30, 0, 0, 0))

    @pytest.mark.parametrize(
        ("status", "set_", "pulse"),
        [(0x27, {"movement", "loose", "irregular_pulse", "position"}, "in range"),
         (0x12, {"loose"}, "below"), (0x04, {"irregular_pulse"}, "in range"),
         (0x08, set(), "above"), (0x18, set(), "reserved"), (0xFFC0, set(), "in range")],
    )  # fmt: skip
    def test_status(self, status, set_, pulse):
        named = decode_status(status)
        assert {name for name, value in named.items() if value is True} == set_
        assert named["pulse_range"] == pulse

    def test_status_without_its_feature_means_nothing(self):
        named = decode_status(0x3F, features=0x0000)
        assert set(named.values()) == {None}
        assert reading(GOOD.format("3F00"), features=0).problems == ()
        assert reading(GOOD.format("2000"), features=0x10).problems == (
            "the position was improper",
        )
        # Feature bit 4 is the position, status bit 4 belongs to the pulse.
        assert decode_status(0x20, features=0x20)["position"] is None

    @pytest.mark.parametrize(
        ("text", "said"),
        [("00BDF00B009FF0", "SBP of 18.9 is implausible"),
         ("004F0080006000", "SBP of 79 is not above DBP of 128"),
         ("0080004F00A000", "MAP of 160 is not between DBP and SBP"),
         ("00FF07FF07FF07", "SBP missing: not a number"),
         ("0080004F000008", "MAP missing: not at this resolution"),
         ("0480004F0060002C01", "HR of 300 is implausible")],
    )  # fmt: skip
    def test_problems(self, text, said):
        assert said in reading(text).problems

    @pytest.mark.parametrize("text", ["010203040506", "03020304050607", "", "00"])
    def test_cut_off(self, text):
        (found,) = BloodPressureDecoder().feed(bytes.fromhex(text), 0.0)
        assert found.kind == "malformed"
        assert "\n" not in found.text

    def test_trailing_bytes(self):
        kept, told = BloodPressureDecoder().feed(bytes.fromhex("0080004F006000AB"), 0.0)
        assert kept.values[0] == 128
        assert told.kind == "trailing"

    @pytest.mark.parametrize(
        ("data", "mmhg"),
        vectors(
            ("P", "1E040000000000000000041114293B3C00012700", 4.0),
            ("P", "156FF0000000003C001200", 83.26),
        ),
    )
    def test_cuff_pressure(self, data, mmhg):
        (found,) = CuffPressureDecoder("cuff_pressure").feed(data[:19], 7.5)
        assert isinstance(found, Reading)
        assert found.values.tolist() == pytest.approx([mmhg], abs=0.005)
        assert found.times_s.tolist() == [7.5]

    def test_no_cuff_pressure(self):
        (found,) = CuffPressureDecoder().feed(bytes.fromhex("00FF0700000000"), 0.0)
        assert isinstance(found, Trouble)


class TestDeviceInformation:
    def test_battery(self):
        assert decode_battery(b"\x64") == 100  # C
        for wrong in (b"", b"\x65", b"\xff", b"\x10\x10"):
            with pytest.raises(MalformedError):
                decode_battery(wrong)

    @pytest.mark.parametrize("data", [b"5.0.0", b"5.0.0\x00", b" 5.0.0  ", b"5.0.0\x00\x00 "])
    def test_text(self, data):
        assert decode_text(data) == "5.0.0"

    def test_text_of_anything(self):
        assert decode_text(b"\xff\x1b[2J") == "\N{REPLACEMENT CHARACTER} [2J"

    def test_current_time(self):
        found = decode_current_time(bytes.fromhex("EA07030E0F091A068001"))  # C
        assert found.time == datetime(2026, 3, 14, 15, 9, 26, 500_000)
        assert (found.weekday, found.reasons) == ("Saturday", ("manual",))
        assert decode_current_time(bytes(10)).time is None
        for wrong in ("EA07030E0F091A0680", "EA070D0E0F091A068001"):
            with pytest.raises(MalformedError):
                decode_current_time(bytes.fromhex(wrong))

    def test_pnp_id(self):
        found = decode_pnp_id(bytes.fromhex("026B0003000100"))
        assert (found.source, found.vendor, found.product, found.version) == ("USB", 107, 3, 1)
        with pytest.raises(MalformedError):
            decode_pnp_id(b"\x01")

    def test_pulse_oximeter(self):
        found = decode_pulse_oximeter(bytes.fromhex("0062004800"))  # C
        assert (found.spo2, found.pulse, found.fast) == (98, 72, None)
        found = decode_pulse_oximeter(bytes.fromhex("0162004800610 04B00".replace(" ", "")))  # C
        assert found.fast == (97, 75)
        every = bytes.fromhex("1F 6200 4800 6100 4B00 6000 4A00 3412 563412 0FF0")
        found = decode_pulse_oximeter(every)
        assert (found.slow, found.status, found.sensor) == ((96, 74), 0x1234, 0x123456)
        assert found.amplitude == 1.5
        with pytest.raises(MalformedError):
            decode_pulse_oximeter(every[:-1])


def test_contact_is_told_when_it_changes():
    from physio_hqc.acquisition.decoders import HeartRateDecoder

    decoder = HeartRateDecoder()
    told = [
        [fact.values for fact in only(decoder.feed(bytes([flags, 60]), t), Facts)]
        for t, flags in enumerate((0x00, 0x02, 0x04, 0x04, 0x06))
    ]
    none, no, yes = {"contact": None}, {"contact": False}, {"contact": True}
    assert told == [[none], [], [no], [], [yes]]
