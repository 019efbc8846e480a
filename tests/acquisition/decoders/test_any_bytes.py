"""No bytes whatever make a decoder raise; what is malformed delivers one clear line."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition import list_device_profiles
from physio_hqc.acquisition.decoders import (
    CuffReading,
    Facts,
    MalformedError,
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

PLACES = [
    (profile, entry)
    for profile in list_device_profiles()
    for entry in profile.characteristics
    if entry.decoder
]
NAMES = [f"{profile.name}-{entry.name}" for profile, entry in PLACES]
VALID = {
    "standard:heart_rate": ["1E5532002100", "1F0101320101000201FFFF", "164842034F03", "10B4550155"],
    "standard:blood_pressure": [
        "1E8A00580078000000041114293B3C00012700", "1FA0F069F07BF0EA07030E0F091A4800FF0400",
        "0480004F00FF07FF07",
    ],
    "standard:cuff_pressure": [
        "1E040000000000000000041114293B3C00012700", "156FF0000000003C001200",
    ],
    "polar_pmd": [
        "0085A021B4D636C10900FBFFFF0000000C000059010001FCFF",
        "02EA54A2428B4552080145FFE4FFB503",
        "02EA54A2428B45520881D0FF6501E40F0802FC07FF0C13F2",
        "02EA54A2428B45520880F1FF1400F00306017B0F08",
    ],
    "bitalino": ["2C0198552C01986C", "2C019855" * 8],
    "packet": ["07E8030000E40CA00FA10FA20FA30F", "08E2040000E40CA00FA10FA20FA30F"],
}  # fmt: skip


def check(decoder, profile, data, t):
    """Feed and look at everything that comes out."""
    streams = {entry.name: entry for entry in profile.streams}
    for found in decoder.feed(data, t):
        if isinstance(found, Trouble):
            assert found.kind
            assert found.text
            assert "\n" not in found.text
            assert len(found.text) < 200
        elif isinstance(found, Facts):
            assert found.values
        elif isinstance(found, CuffReading):
            assert found.values.shape == (4,)
        else:
            assert isinstance(found, Samples | Reading)
            spec = streams[found.stream]
            assert found.values.dtype == spec.dtype
            assert found.values.shape[1:] == ((len(spec.channels),) if spec.channels else ())
            assert len(found.values)
            if isinstance(found, Reading):
                assert np.isfinite(found.times_s).all()
                assert found.times_s.shape == (len(found.values),)
            else:
                assert found.n_lost >= 0
                assert math.isnan(found.t_device) or abs(found.t_device) < 1e12


@pytest.mark.parametrize(("profile", "entry"), PLACES, ids=NAMES)
class TestFeed:
    @given(packets=st.lists(st.binary(max_size=300), max_size=8))
    @settings(deadline=None, max_examples=150)
    def test_arbitrary_bytes(self, profile, entry, packets):
        decoder = make_decoder(profile, entry)
        for k, data in enumerate(packets):
            check(decoder, profile, data, 0.3 * k)
        decoder.reset()
        check(decoder, profile, b"", 9.0)

    @given(data=st.data())
    @settings(deadline=None, max_examples=200)
    def test_mutated_packets(self, profile, entry, data):
        decoder = make_decoder(profile, entry)
        for k in range(data.draw(st.integers(1, 6))):
            packet = bytearray.fromhex(data.draw(st.sampled_from(VALID[entry.decoder])))
            for _ in range(data.draw(st.integers(0, 4))):
                packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
            check(decoder, profile, packet, 0.3 * k)

    def test_every_truncation(self, profile, entry):
        for text in VALID[entry.decoder]:
            whole = bytes.fromhex(text)
            for size in range(len(whole)):
                decoder = make_decoder(profile, entry)
                check(decoder, profile, whole[:size], 0.0)
                check(decoder, profile, whole, 1.0)


@pytest.mark.parametrize(
    "decode",
    [
        decode_battery, decode_current_time, decode_pnp_id, decode_pulse_oximeter,
        decode_text, parse_pmd_reply, parse_pmd_settings, pmd_features,
    ],
)  # fmt: skip
@given(data=st.binary(max_size=40))
@settings(deadline=None, max_examples=200)
def test_values_that_are_read(decode, data):
    with contextlib.suppress(MalformedError):
        decode(data)
