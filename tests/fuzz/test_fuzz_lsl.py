"""What an LSL outlet says of itself, and the samples of a marker stream: anyone may send them."""

import json

import pytest
from fuzzing import fuzz, noise, one_in, text

from physio_hqc.acquisition.sources._lsl_streams import Outlet, marker_of, parts_of
from physio_hqc.session.format import MODALITIES

WORDS = ("ECG", "eda", "Markers", "mV", "uS", "microsiemens", "mmHg", "a,b", "\x1b[2J", "", "RR")
KINDS, UNITS = (*WORDS, "ECG", "EDA"), ("mV", "uS", "mmHg")
VALUES = (0, -1, 2**70, 1.5, -0.0, float("nan"), float("inf"), 5e-324, b"\xff\xfe", b"stress", b"")


def any_outlet(rng):
    """What an outlet says: name, kind, rate, what its channels are, and a value of each."""

    def word(usual=WORDS):
        # What liblsl hands over was UTF-8.
        any_text = text(rng).encode("utf-8", "replace").decode()
        return any_text if one_in(rng, 3) else rng.choice(usual)

    labels = [
        {
            key: word(UNITS if key == "unit" and one_in(rng, 2) else WORDS)
            for key in ("label", "unit", "type")
            if not one_in(rng, 3)
        }
        for _ in range(rng.randrange(1, 4))
    ]
    value = noise(40)(rng) if one_in(rng, 2) else rng.choice(VALUES)
    return word(), word(KINDS), rng.choice([0.0, 1.0, 130.0, 1e6]), labels, value


@pytest.mark.slow
def test_descriptions_and_markers():
    seen = {"streams": 0, "markers": 0}

    @fuzz(any_outlet)
    def run(case):
        name, kind, sfreq, labels, value = case
        outlet = Outlet(name, kind, "", "", "", sfreq, "float32", tuple(labels))
        taken: set[str] = set()
        parts = parts_of(outlet, taken)
        columns = sorted(column for part in parts for column in part.columns)
        assert columns == list(range(len(labels)))
        names = [part.info.name for part in parts]
        assert len(set(names)) == len(names)
        for part in parts:
            assert part.info.name.isidentifier()
            assert part.info.modality in MODALITIES
            assert len(part.info.units.split(",")) in (1, len(part.columns))
        seen["streams"] += any(part.info.modality != "other" for part in parts)
        label, payload = marker_of(outlet, [value] * len(labels))
        assert len(label.encode()) <= 3000
        json.dumps(payload, ensure_ascii=False).encode()
        seen["markers"] += bool(label)

    run()
    assert min(seen.values()) > 0, seen
