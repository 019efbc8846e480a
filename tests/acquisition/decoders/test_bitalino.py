"""BITalino frames: the constructed vectors, and finding frames in a cut and damaged stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition import load_device_profile
from physio_hqc.acquisition.decoders import Samples, decode_bitalino, make_decoder
from physio_hqc.acquisition.decoders.bitalino import BitalinoDecoder, bitalino_crc
from physio_hqc.session import BlockFlag

VECTORS = [
    pytest.param([512], "00985F", id="C-1"),
    pytest.param([512, 300], "2C019855", id="C-2"),
    pytest.param([512, 300, 1023], "C0FF2C019852", id="C-3"),
    pytest.param([1, 2, 3, 4], "40C00002049052", id="C-4"),
    pytest.param([1, 2, 3, 4, 5], "4041C0000204905E", id="C-5"),
    pytest.param([512, 300, 1023, 0, 33, 63], "7F08C0FF2C01985C", id="C-6"),
]


def crc_bit_by_bit(frame):
    """Slow reference: division by x^4 + x + 1, one bit at a time."""
    rest = 0
    for byte in [*frame[:-1], frame[-1] & 0xF0]:
        for bit in range(7, -1, -1):
            rest <<= 1
            if rest & 0x10:
                rest ^= 0x13
            rest ^= byte >> bit & 1
    return rest & 0x0F


def frame_of(a2, a3, sequence):
    """A frame of two channels."""
    frame = bytearray([a3 & 0xFF, (a2 & 0x3F) << 2 | a3 >> 8, a2 >> 6, sequence % 16 << 4])
    frame[3] |= crc_bit_by_bit(frame)
    return bytes(frame)


def frames(n, start=0, seed=0):
    values = np.random.default_rng(seed).integers(0, 1024, size=(n, 2))
    return values, [frame_of(int(a), int(b), start + k) for k, (a, b) in enumerate(values)]


def new():
    return BitalinoDecoder([("ecg", 1, "uint16"), ("eda", 1, "uint16")], 100.0)


def play(stream, cut=20, decoder=None):
    """Everything that comes out, as columns, and the samples before it."""
    decoder = decoder or new()
    found = []
    for k in range(0, len(stream), cut):
        found += decoder.feed(stream[k : k + cut], k / 4 / 100)
    parts = {name: [e for e in found if isinstance(e, Samples) and e.stream == name]
             for name in ("ecg", "eda")}  # fmt: skip
    columns = [np.concatenate([p.values for p in part] or [[]]) for part in parts.values()]
    return np.stack(columns, axis=1), parts["ecg"], [e for e in found if not isinstance(e, Samples)]


@pytest.mark.parametrize(("values", "text"), VECTORS)
def test_vector(values, text):
    frame = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)[np.newaxis]
    found = decode_bitalino(frame, len(values))
    assert found.values.tolist() == [values]
    assert found.sequence.tolist() == [5]
    assert found.digital.tolist() == [[1, 0, 0, 1]]
    assert bitalino_crc(frame) == frame[0, -1] & 0x0F


@given(st.binary(min_size=3, max_size=8))
def test_crc_against_a_slow_reference(data):
    frame = np.frombuffer(data, dtype=np.uint8)[np.newaxis]
    assert bitalino_crc(frame)[0] == crc_bit_by_bit(data)


@pytest.mark.parametrize("cut", [1, 3, 4, 7, 20, 512])
def test_frames_cut_anywhere(cut):
    values, sent = frames(200)
    found, parts, troubles = play(b"".join(sent), cut)
    np.testing.assert_array_equal(found, values)
    assert not troubles
    assert all(part.flags == 0 and np.isnan(part.t_device) for part in parts)


@pytest.mark.parametrize("garbage", [b"\x00", b"\xff" * 7, bytes(range(24))])
def test_garbage_before_and_between(garbage):
    values, sent = frames(60)
    stream = garbage + b"".join(sent[:30]) + garbage + b"".join(sent[30:])
    found, parts, troubles = play(stream)
    np.testing.assert_array_equal(found, values)
    assert {trouble.kind for trouble in troubles} == {"malformed"}
    assert sum(part.n_lost for part in parts) == 0


@pytest.mark.parametrize("lost", [1, 2, 9, 14])
def test_lost_frames_are_counted(lost):
    values, sent = frames(60)
    found, parts, _ = play(b"".join(sent[:20] + sent[20 + lost :]))
    np.testing.assert_array_equal(found, np.delete(values, np.s_[20 : 20 + lost], axis=0))
    (after,) = [part for part in parts if part.flags]
    assert (after.n_lost, after.flags) == (lost, BlockFlag.GAP_BEFORE)


def test_more_lost_frames_than_the_counter_has_are_counted_by_the_time_that_passed():
    _, sent = frames(300)
    decoder = new()
    decoder.feed(b"".join(sent[:40]), 0.4)
    found = decoder.feed(b"".join(sent[140:145]), 1.45)
    (ecg, _) = [entry for entry in found if isinstance(entry, Samples)]
    assert abs(ecg.n_lost - 100) <= 8
    assert ecg.n_lost % 16 == 100 % 16


def test_a_damaged_frame_is_left_out():
    values, sent = frames(60)
    damaged = sent[20][:1] + bytes([sent[20][1] ^ 0x10]) + sent[20][2:]
    found, parts, troubles = play(b"".join([*sent[:20], damaged, *sent[21:]]))
    np.testing.assert_array_equal(found, np.delete(values, 20, axis=0))
    assert sum(part.n_lost for part in parts) == 1
    assert "malformed" in {trouble.kind for trouble in troubles}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_lost_byte_costs_little_and_invents_little(seed, cut):
    values, sent = frames(100, seed=seed)
    stream = bytearray(b"".join(sent))
    del stream[200]
    found, _, _ = play(bytes(stream), cut)
    kept = {tuple(row) for row in values}
    assert len(found) >= 95
    assert sum(tuple(row) not in kept for row in found) <= 1


def test_reset():
    _, sent = frames(10)
    decoder = new()
    decoder.feed(b"".join(sent)[:-1], 0.0)
    decoder.reset()
    _, more = frames(10, start=3)
    (ecg, _) = decoder.feed(b"".join(more), 9.0)
    assert (len(ecg.values), ecg.n_lost, ecg.flags) == (10, 0, 0)


def test_profile_turns_counts_into_units():
    profile = load_device_profile("bitalino_ble")
    decoder = make_decoder(profile, profile.characteristics[1])
    sent = b"".join(frame_of(256, 512, k) for k in range(5))
    physical = {}
    for found in decoder.feed(sent, 0.0):
        spec = next(entry for entry in profile.streams if entry.name == found.stream)
        assert found.values.dtype == spec.dtype
        physical[found.stream] = float(found.values[0] * spec.scale + spec.offset)
    assert physical == pytest.approx({"ecg": -0.75, "eda": 12.5})
    assert "6 bit" in profile.description
