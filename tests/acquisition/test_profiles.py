"""Device profiles: the shipped ones against what the makers publish, and what is refused."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition import (
    list_device_profiles,
    load_device_profile,
    parse_device_profile,
)
from physio_hqc.config import find_config, list_configs
from physio_hqc.errors import ConfigError

SIG = "0000{}-0000-1000-8000-00805f9b34fb"
NAMES = ["bitalino_ble", "blood_pressure", "heart_rate", "nordic_uart_eda", "polar_h10"]
EDA_LINES = "\n    characteristic: frames\n    dtype: uint16\n    scale: 0.0244140625"


def stream(profile, name):
    return next(entry for entry in profile.streams if entry.name == name)


def characteristic(profile, name):
    return next(entry for entry in profile.characteristics if entry.name == name)


class TestShipped:
    def test_all_are_listed(self):
        assert list_configs("devices") == NAMES
        assert [profile.name for profile in list_device_profiles()] == NAMES

    @pytest.mark.parametrize("name", NAMES)
    def test_round_trip(self, name):
        profile = load_device_profile(name)
        assert parse_device_profile(profile.to_yaml()) == profile
        assert profile.title
        assert profile.references

    def test_heart_rate(self):
        profile = load_device_profile("heart_rate")
        assert profile.advertised.services == (SIG.format("180d"),)
        entry = characteristic(profile, "heart_rate")
        assert (entry.uuid, entry.access) == (SIG.format("2a37"), ("notify",))
        rr = stream(profile, "rr")
        assert (rr.units, rr.sfreq, 1024 * rr.scale) == ("s", 0, 1.0)

    def test_blood_pressure(self):
        profile = load_device_profile("blood_pressure")
        entry = characteristic(profile, "reading")
        assert (entry.service, entry.uuid) == (SIG.format("1810"), SIG.format("2a35"))
        assert entry.access == ("indicate",)
        assert characteristic(profile, "cuff_pressure").uuid == SIG.format("2a36")
        cuff = stream(profile, "cuff")
        assert cuff.channels == ("SBP", "DBP", "MAP", "HR")
        assert cuff.units == "mmHg,mmHg,mmHg,1/min"

    def test_polar_h10(self):
        profile = load_device_profile("polar_h10")
        base = "fb005c8{}-02e7-f387-1cad-8acd2d8df0c8"
        control = characteristic(profile, "control")
        assert (control.service, control.uuid) == (base.format(0), base.format(1))
        assert set(control.access) == {"read", "write", "indicate"}
        assert characteristic(profile, "data").uuid == base.format(2)
        assert profile.connection.mtu_min == 10 + 73 * 3 + 3
        assert [write.data.hex() for write in profile.start] == [
            "02000001820001010e00",
            "0202020108000001c80001011000",
        ]
        # 130 Hz and 200 Hz stand in the commands as little-endian numbers.
        assert int.from_bytes(profile.start[0].data[4:6], "little") == stream(profile, "ecg").sfreq
        assert int.from_bytes(profile.start[1].data[8:10], "little") == stream(profile, "acc").sfreq
        assert [write.data.hex() for write in profile.stop] == ["0300", "0302"]
        # An answer repeats the operation code and the measurement type, then status 0.
        for write in (*profile.start, *profile.stop):
            assert bytes.fromhex(write.reply) == bytes([0xF0, *write.data[:2], 0])
        assert -32766 * stream(profile, "ecg").scale == pytest.approx(-32.766)  # µV to mV
        assert fnmatchcase("Polar H10 12345678", profile.advertised.names[0])

    def test_bitalino(self):
        profile = load_device_profile("bitalino_ble")
        assert profile.advertised.services == ("c566488a-0882-4e1b-a6d0-0b717e652234",)
        assert characteristic(profile, "commands").uuid == "4051eb11-bf0a-4c74-8730-a48f4193fcea"
        assert characteristic(profile, "frames").uuid == "40fdba6b-672e-47c4-808a-e529adff3633"
        rate_code = {1000: 3, 100: 2, 10: 1, 1: 0}[int(stream(profile, "ecg").sfreq)]
        live_a2_a3 = 0x01 | 1 << (2 + 1) | 1 << (2 + 2)
        assert [write.data for write in profile.start] == [
            bytes([rate_code << 6 | 0x03]),
            bytes([live_a2_a3]),
        ]
        assert [write.data for write in profile.stop] == [b"\x00"]
        for write in (*profile.start, *profile.stop):
            assert write.wait_s == 0.1

    @pytest.mark.parametrize(
        ("name", "counts", "value"),
        [
            ("ecg", 0, -1.5), ("ecg", 256, -0.75), ("ecg", 512, 0.0), ("ecg", 1023, 1.49707),
            ("eda", 256, 6.25), ("eda", 512, 12.5), ("eda", 1023, 24.97559),
        ],
    )  # fmt: skip
    def test_bitalino_transfer_functions(self, name, counts, value):
        entry = stream(load_device_profile("bitalino_ble"), name)
        assert counts * entry.scale + entry.offset == pytest.approx(value, abs=5e-6)

    def test_nordic_uart(self):
        profile = load_device_profile("nordic_uart_eda")
        uuid = "6e40000{}-b5a3-f393-e0a9-e50e24dcca9e"
        assert profile.advertised.services == (uuid.format(1),)
        assert characteristic(profile, "rx").uuid == uuid.format(2)
        assert characteristic(profile, "tx").uuid == uuid.format(3)
        packet = characteristic(profile, "tx").packet
        assert packet.size == packet.min_size == 15
        # The samples of one packet last equally long in both streams.
        samples = {block.fields[0].stream: block.samples for block in packet.blocks}
        seconds = {name: count / stream(profile, name).sfreq for name, count in samples.items()}
        assert seconds == {"eda": 0.25, "temp": 0.25}


class TestRefused:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("decoder: packet", "decoder: paket", "did you mean 'packet'?"),
            ("- {characteristic: rx, hex: \"01\"}", "- {characteristic: rxx, hex: \"01\"}",
             "start[0].characteristic: no characteristic 'rxx', did you mean 'rx'?"),
            ("- {characteristic: rx, hex: \"01\"}", "- {characteristic: tx, hex: \"01\"}",
             "start[0].characteristic: 'tx' has no access 'write'"),
            ("- {characteristic: rx, hex: \"01\"}", "- {characteristic: rx, hex: 01}",
             "start[0].hex: should be bytes such as '02 00 FF', not 1; put them in quotes"),
            ("- {characteristic: rx, hex: \"01\"}", "- {characteristic: rx, hex: 0x01}",
             "start[0].hex: should be bytes"),
            ("- {characteristic: rx, hex: \"01\"}",
             "- {characteristic: rx, hex: \"01\", stream: ed}", "did you mean 'eda'?"),
            ("role: sequence, modulo: 256", "role: sequenze, modulo: 256", "mean 'sequence'?"),
            ("unit_s: 0.001, ", "", "header[1].unit_s: is needed for a field with the role"),
            ("{type: u16, stream: eda}", "{type: u16}", "fields[0].stream: is needed"),
            ("{type: u16, stream: eda}", "{type: u17, stream: eda}", "fields[0].type"),
            ("{type: u16, stream: eda}", "{type: u16, stream: edda}",
             "blocks[1].fields[0].stream: no stream 'edda', did you mean 'eda'?"),
            ("{type: u16, stream: eda}", "{type: u16, stream: temp}", "'temp' is filled twice"),
            ("{type: u16, stream: eda}", "{type: u16, stream: eda, channel: x}",
             "stream 'eda' has no channel 'x'"),
            ("            - {type: u16, stream: eda}", "            - {type: u16, role: ignore}",
             "no field of the packet fills 'eda'"),
            ("samples: 4", "samples: 400", "more than 512"),
            ("samples: 1\n", "samples: null\n", "only the last block"),
            ("names: [\"EDA Band*\"]\n  services: [6E400001-B5A3-F393-E0A9-E50E24DCCA9E]",
             "names: []", "give names or services"),
            ("[6E400001-B5A3-F393-E0A9-E50E24DCCA9E]", "[1810]", "put it in quotes"),
            ("[6E400001-B5A3-F393-E0A9-E50E24DCCA9E]", "[180D]", "should be a UUID, 0xNNNN"),
            ("units: °C", "units: ''", "units: should name a unit"),
            ("units: °C", "units: 'g,g'", "2 units for 0 channels"),
            ("units: °C", "units: °C\n    channels: [x, x]", "the same name appears twice"),
            ("scale: 0.01", "scale: 0", "should not be 0"),
            ("name: temp", "name: eda", "streams[1].name: 'eda' is already taken"),
            ("modality: temp", "modality: tmp", "did you mean 'temp'?"),
            ("{type: u16, stream: eda}", "{type: u24, stream: eda}",
             "fields[0].type: u24 does not fit the stream's dtype uint16"),
            ("{type: i16, stream: temp}", "{type: sfloat, stream: temp}", "dtype int16"),
            ("{type: u8, role: sequence, modulo: 256}", "{type: f32, role: sequence}",
             "header[0].type: a sequence field needs a whole number"),
            ("{type: u8, role: sequence, modulo: 256}",
             "{type: u32, role: device_time, unit_s: 0.001}",
             "header[1].role: only one field can have the role 'device_time'"),
            ("{type: u8, role: sequence, modulo: 256}", "{type: u8, role: constant, value: 0x100}",
             "header[0].value: 256 is no u8"),
        ],
    )  # fmt: skip
    def test_message(self, old, new, said):
        text = find_config("devices", "nordic_uart_eda").read_text(encoding="utf-8")
        assert text.count(old) == 1
        with pytest.raises(ConfigError) as caught:
            parse_device_profile(text.replace(old, new), "band.yaml")
        message = str(caught.value)
        assert message.startswith("band.yaml, line ")
        assert said in message
        assert "\n" not in message

    def test_decoder_needs_a_subscription(self):
        text = find_config("devices", "heart_rate").read_text(encoding="utf-8")
        with pytest.raises(ConfigError, match="a decoder needs notify or indicate"):
            parse_device_profile(text.replace("[notify]", "[read]"))
        with pytest.raises(ConfigError, match="'heart_rate' has no decoder"):
            parse_device_profile(text.replace("    decoder: standard:heart_rate\n", ""))

    @pytest.mark.parametrize(
        ("name", "old", "new", "said"),
        [
            ("heart_rate", "dtype: uint16\n    scale", "dtype: uint8\n    scale",
             "streams[0].dtype: uint8 does not hold what the decoder 'standard:heart_rate' gives"),
            ("heart_rate", "modality: rr", "modality: other",
             "streams[1].modality: the decoder 'standard:heart_rate' gives no second stream"),
            ("heart_rate", "sfreq: 0                    # about", "sfreq: 1    # about",
             "streams[1].sfreq: should be 0"),
            ("blood_pressure", "modality: cuff\n", "modality: bp\n", "no stream of this kind"),
            ("blood_pressure", "[SBP, DBP, MAP, HR]", "[SBP, DBP, MAP, HR, X]",
             "4 units for 5 channels"),
            ("polar_h10", "channels: [x, y, z]", "channels: [x, y]", "gives 3 channels here"),
            ("polar_h10", "dtype: int32", "dtype: int16", "int16 does not hold"),
            ("bitalino_ble", f"sfreq: 100{EDA_LINES}", f"sfreq: 10{EDA_LINES}",
             "the same for all streams"),
            ("bitalino_ble", "modality: eda\n",
             "modality: eda\n    channels: [a, b, c, d, e, f]\n", "at most 6 channels"),
        ],
    )  # fmt: skip
    def test_streams_that_the_decoder_does_not_give(self, name, old, new, said):
        text = find_config("devices", name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        with pytest.raises(ConfigError) as caught:
            parse_device_profile(text.replace(old, new))
        assert said in str(caught.value)

    @given(st.sampled_from(NAMES), st.data())
    @settings(deadline=None, max_examples=150)
    def test_a_damaged_profile_is_one_config_error_or_a_profile(self, name, data):
        lines = find_config("devices", name).read_text(encoding="utf-8").splitlines()
        number = data.draw(st.integers(0, len(lines) - 1))
        lines[number] = data.draw(
            st.sampled_from(["", "x", "  - a", "start: 1", "streams: []", "name: 3", "}", "- {"])
        )
        try:
            profile = parse_device_profile("\n".join(lines))
        except ConfigError:
            return
        assert parse_device_profile(profile.to_yaml()) == profile


def test_packet_of_any_length():
    text = find_config("devices", "nordic_uart_eda").read_text(encoding="utf-8")
    profile = parse_device_profile(text.replace("- samples: 4\n          fields", "- fields"))
    packet = characteristic(profile, "tx").packet
    assert packet.size is None
    assert packet.min_size == 7
    assert parse_device_profile(profile.to_yaml()) == profile
