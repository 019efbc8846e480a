"""Polar Measurement Data against the maker's vectors; provenance as in test_standard."""

import numpy as np
import pytest

from physio_hqc.acquisition import load_device_profile
from physio_hqc.acquisition.decoders import (
    MalformedError,
    PmdDecoder,
    PmdStopped,
    Samples,
    Trouble,
    decode_pmd_frame,
    make_decoder,
    parse_pmd_reply,
    parse_pmd_settings,
    pmd_features,
    unpack_int24,
)
from physio_hqc.acquisition.decoders.polar_pmd import decode_deltas


def hexed(text):
    return bytes.fromhex(text)


ECG = "00 {stamp} 00 {content}"
FRAMES = [
    pytest.param(
        "00 00943577 00000000 00 0280FF 028000", "ecg", 2_000_000_000, [-32766, 32770], id="P-ecg"
    ),
    pytest.param(
        "02 00943577 00000000 01 F7FF FFFF E703 F8FF FEFF E503",
        "acc", 2_000_000_000, [[-9, -1, 999], [-8, -2, 997]], id="P-acc",
    ),
    pytest.param(
        "02 EA54A2428B455208 01 45FF E4FF B503",
        "acc", 599618164814402794, [[-187, -28, 949]], id="P!-acc",
    ),
    pytest.param(
        "00 85A021B4D636C109 00 FBFFFF 000000 0C0000 590100 01FCFF",
        "ecg", 702903312619511941, [-5, 0, 12, 345, -1023], id="C-ecg",
    ),
    pytest.param("02 0100000000000000 00 FF 7F 80", "acc", 1, [[-1, 127, -128]], id="acc-8-bit"),
    pytest.param(
        "02 0100000000000000 02 FFFFFF 00007F 000080",
        "acc", 1, [[-1, 0x7F0000, -0x800000]], id="acc-24-bit",
    ),
    pytest.param(  # bit 7 and 6 of the type byte are not part of it
        "80 0100000000000000 00 0C0000", "ecg", 1, [12], id="recording-type-bit",
    ),
]  # fmt: skip
DELTAS = [
    pytest.param(
        "D0FF 6501 E40F 08 02 FC07FF 0C13F2",
        [[-48, 357, 4068], [-52, 364, 4067], [-40, 383, 4053]], id="P-8-bit",
    ),
    pytest.param(
        "F1FF 1400 F003 06 01 7B0F08", [[-15, 20, 1008], [-20, 17, 1008]], id="P-6-bit"
    ),
    pytest.param("F1FF 1400 F003", [[-15, 20, 1008]], id="reference-only"),
]  # fmt: skip


def packed(deltas, width):
    """Slow reference: the bits of all numbers, the lowest first, in a row."""
    bits = [int(d) >> k & 1 for d in deltas for k in range(width)]
    bits += [0] * (-len(bits) % 8)
    return bytes(sum(bits[i + k] << k for k in range(8)) for i in range(0, len(bits), 8))


class TestFrames:
    @pytest.mark.parametrize(("text", "measurement", "time_ns", "samples"), FRAMES)
    def test_vector(self, text, measurement, time_ns, samples):
        frame = decode_pmd_frame(hexed(text))
        assert (frame.measurement, frame.time_ns) == (measurement, time_ns)
        assert frame.samples.tolist() == samples

    @pytest.mark.parametrize(("text", "samples"), DELTAS)
    def test_deltas(self, text, samples):
        assert decode_deltas(hexed(text), 3, 2).tolist() == samples

    @pytest.mark.parametrize("width", [1, 3, 7, 8, 11, 16, 24, 32])
    def test_deltas_of_any_width_against_a_slow_reference(self, width):
        rng = np.random.default_rng(width)
        low, high = -(1 << width - 1), (1 << width - 1) - 1
        deltas = rng.integers(low, high + 1, size=(9, 3))
        content = hexed("0000 0000 0000") + bytes([width, 4]) + packed(deltas[:4].ravel(), width)
        content += bytes([width, 5]) + packed(deltas[4:].ravel(), width)
        expected = np.vstack([np.zeros((1, 3)), np.cumsum(deltas, axis=0)])
        np.testing.assert_array_equal(decode_deltas(content, 3, 2), expected)

    def test_compressed_acceleration_in_milli_g(self):
        content = "F1FF 1400 F003 06 01 7B0F08"
        # Type 0 is in g by the factor of the start answer, type 1 in milli-g.
        in_g = decode_pmd_frame(hexed(f"02 {'00' * 8} 80 {content}"), factor=0.000244)
        assert in_g.samples[0].tolist() == pytest.approx([-3.66, 4.88, 245.952])
        in_mg = decode_pmd_frame(hexed(f"02 {'00' * 8} 81 {content}"))
        assert in_mg.samples[1].tolist() == [-20, 17, 1008]
        decoder = PmdDecoder()
        decoder.factor = 0.000244
        (found,) = [
            e for e in decoder.feed(hexed(f"02 01{'00' * 7} 80 {content}"), 0.0)
            if isinstance(e, Samples)
        ]  # fmt: skip
        assert found.values.dtype == np.int16
        assert found.values[0].tolist() == [-4, 5, 246]

    @pytest.mark.parametrize(
        ("head", "named"),
        [
            ("00 {} 01", "ECG frame type 1 (14 bit with contact bits)"),
            ("00 {} 02", "ECG frame type 2 (18 bit with tags)"),
            ("00 {} 03", "ECG frame type 3 (two leads)"),
            ("00 {} 80", "ECG compressed frame type 0"),
            ("01 {} 00", "PPG frame type 0"),
            ("03 {} 00", "PPI frame type 0"),
            ("02 {} 03", "ACC frame type 3"),
            ("02 {} 82", "ACC compressed frame type 2"),
            ("05 {} 80", "gyroscope compressed frame type 0"),
            ("28 {} 00", "type 40 frame type 0"),
        ],
    )
    def test_other_frames_are_refused_by_name(self, head, named):
        data = hexed(head.format("00" * 8)) + bytes(12)
        (found,) = PmdDecoder().feed(data, 0.0)
        assert found == Trouble("unsupported", f"PMD {named} is not decoded")

    @pytest.mark.parametrize(
        "text",
        ["", "00", "00" * 10, "00" * 11, "02" + "00" * 8 + "01" + "0000", "02" + "00" * 8 + "01",
         "02" + "00" * 8 + "81" + "00" * 5, "02" + "00" * 8 + "81" + "00" * 6 + "08",
         "02" + "00" * 8 + "81" + "00" * 6 + "0802FF", "02" + "00" * 8 + "81" + "00" * 6 + "0001FF",
         "02" + "00" * 8 + "81" + "00" * 6 + "2101" + "FF" * 30],
    )  # fmt: skip
    def test_malformed(self, text):
        (found,) = PmdDecoder().feed(hexed(text), 0.0)
        assert found.kind == "malformed"

    def test_many_frames_at_once(self):
        rng = np.random.default_rng(0)
        numbers = rng.integers(-(1 << 23), 1 << 23, size=(50, 73))
        data = b"".join(int(n).to_bytes(3, "little", signed=True) for n in numbers.ravel())
        block = np.frombuffer(data, dtype=np.uint8).reshape(50, 219)
        np.testing.assert_array_equal(unpack_int24(block), numbers)


class TestStrap:
    """What the H10 really does, as far as it concerns decoding."""

    @staticmethod
    def frame(time_ns, n=73):
        return b"\x00" + time_ns.to_bytes(8, "little") + b"\x00" + bytes(3 * n)

    def test_stored_type_and_device_time(self):
        profile = load_device_profile("polar_h10")
        data = next(entry for entry in profile.characteristics if entry.name == "data")
        decoder = make_decoder(profile, data)
        (found,) = decoder.feed(hexed("00 85A021B4D636C109 00 FBFFFF 000000 01FCFF"), 1.0)
        assert (found.stream, found.flags, found.n_lost) == ("ecg", 0, 0)
        assert found.values.dtype == np.int32
        assert found.values.tolist() == [-5, 0, -1023]
        assert found.t_device == pytest.approx(702903312.619511941, abs=1.2e-7)

    def test_rate_of_a_recorded_pair(self):
        # H: 560.361 ms between frames of 73 samples.
        decoder = PmdDecoder()
        (first,) = decoder.feed(self.frame(702903312619511941), 0.0)
        (second,) = decoder.feed(self.frame(702903313179873286), 0.0)
        assert 73 / (second.t_device - first.t_device) == pytest.approx(130.273, abs=5e-4)

    @pytest.mark.parametrize("year_s", [599_616_000, 1_073_741_823, 2_147_483_647])
    def test_resolution_of_seconds_since_2000(self, year_s):
        # 0.24 µs until 2068, a quarter of it being rounding: 30,000 times finer than a sample.
        assert np.spacing(float(year_s)) < 2.5e-7

    def test_stamps_are_passed_on_as_they_are(self):
        decoder = PmdDecoder()
        stamps = [5_000, 6_000, 6_000, 4_000, 7_000, 599_616_000_000_000_000, 1_000]
        told = []
        for stamp in stamps:
            *troubles, samples = decoder.feed(self.frame(stamp), 0.0)
            assert samples.t_device == stamp / 1e9
            told.append([trouble.kind for trouble in troubles])
        assert told == [[], [], ["clock"], ["clock"], [], [], ["clock"]]

    def test_a_lost_frame_is_not_filled(self):
        # Reading finds the gap in the stamps; the decoder neither spreads nor guesses.
        decoder = PmdDecoder()
        decoder.feed(self.frame(1_000_000_000), 0.0)
        (found,) = decoder.feed(self.frame(5_000_000_000), 0.0)
        assert (len(found.values), found.t_device, found.flags) == (73, 5.0, 0)

    def test_frames_that_are_not_wanted(self):
        assert PmdDecoder(acc=None).feed(hexed("02" + "00" * 8 + "01" + "00" * 6), 0.0) == []

    def test_a_value_that_does_not_fit_is_refused(self):
        (found,) = PmdDecoder().feed(hexed("02 0100000000000000 02 FFFFFF 00007F 000080"), 0.0)
        assert found == Trouble("malformed", "PMD acc frame: a sample does not fit int16")


REPLIES = [
    pytest.param(
        "F0 01 00 00 00 00 01 8200 01 01 0E00", (1, 0, 0),
        {"rate_hz": (130,), "resolution_bits": (14,)}, id="P-ecg-settings",
    ),
    pytest.param(
        "F0 01 02 00 00 00 04 1900 3200 6400 C800 01 01 1000 02 03 0200 0400 0800", (1, 2, 0),
        {"rate_hz": (25, 50, 100, 200), "resolution_bits": (16,), "range": (2, 4, 8)},
        id="P-acc-settings",
    ),
    pytest.param(
        "F0 01 02 00 00 00 01 3400 01 01 1000 02 01 0800 04 01 03", (1, 2, 0),
        {"rate_hz": (52,), "resolution_bits": (16,), "range": (8,), "channels": (3,)},
        id="P-verity-settings",
    ),
    pytest.param("F0 02 02 00 00 01", (2, 2, 0), {}, id="P-started-reserved-byte"),
    pytest.param(
        "F0 02 02 00 00 05 01 40DA7F39", (2, 2, 0),
        {"factor": (pytest.approx(0.000244, rel=1e-4),)}, id="P-started-factor",
    ),
    pytest.param("F0 03 02 00 00", (3, 2, 0), {}, id="P-acc-stopped"),
    pytest.param("F0 03 00 00 00", (3, 0, 0), {}, id="P!-ecg-stopped"),
    pytest.param("F0 01 06 07 00", (1, 6, 7), {}, id="P-invalid-resolution"),
    pytest.param("F0 02 00 06", (2, 0, 6), {}, id="already-in-state"),
]  # fmt: skip


class TestControlPoint:
    def test_a_setting_without_values_names_no_factor(self):
        reply = parse_pmd_reply(hexed("F0 02 02 00 00 05 00"))
        assert reply.settings == {"factor": ()}
        assert reply.factor == 1.0

    @pytest.mark.parametrize(("text", "head", "settings"), REPLIES)
    def test_reply(self, text, head, settings):
        found = parse_pmd_reply(hexed(text))
        assert (found.operation, found.measurement, found.status) == head
        assert found.settings == settings
        assert found.ok == (head[2] == 0)

    def test_status_texts(self):
        texts = [parse_pmd_reply(bytes([0xF0, 2, 0, s])).status_text for s in (0, 6, 10, 14, 99)]
        assert texts == ["ok", "already in this state", "invalid MTU", "disk full", "unknown 99"]

    def test_factor(self):
        assert parse_pmd_reply(hexed("F0020000")).factor == 1.0
        started = parse_pmd_reply(hexed("F0 02 02 00 00 05 01 40DA7F39"))
        assert started.factor == np.frombuffer(hexed("40DA7F39"), dtype="<f4")[0]

    def test_settings_vector(self):
        found = parse_pmd_settings(
            hexed("00 01 3400 01 01 1000 02 04 F500 F401 E803 D007 04 01 03")
        )
        assert found == {
            "rate_hz": (52,), "resolution_bits": (16,), "range": (245, 500, 1000, 2000),
            "channels": (3,),
        }  # fmt: skip

    def test_stopped_by_itself(self):
        assert parse_pmd_reply(hexed("01 00 02")) == PmdStopped((0, 2))

    @pytest.mark.parametrize("text", ["", "F0", "F00200", "0F05", "F0 01 00 00 00 00 05 8200"])
    def test_malformed_reply(self, text):
        with pytest.raises(MalformedError):
            parse_pmd_reply(hexed(text))

    def test_features(self):
        assert pmd_features(hexed("0F 05 00" + "00" * 14)) == {0, 2}  # H: an H10
        assert pmd_features(hexed("0F 6E 00" + "00" * 14)) == {1, 2, 3, 5, 6}  # P: Verity Sense
        assert pmd_features(hexed("0F 05")) == {0, 2}
        for wrong in ("", "0F", "F0 05"):
            with pytest.raises(MalformedError):
                pmd_features(hexed(wrong))
