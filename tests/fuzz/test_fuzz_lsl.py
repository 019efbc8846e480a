"""What an LSL outlet says of itself, and the samples of a marker stream: anyone may send them."""

import json

import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

from physio_hqc.acquisition.sources._lsl_streams import Outlet, marker_of, parts_of
from physio_hqc.session.format import MODALITIES

WORDS = st.text(max_size=30) | st.sampled_from(
    ["ECG", "eda", "Markers", "mV", "uS", "microsiemens", "mmHg", "a,b", "\x1b[2J", "", "RR"]
)
UNITS = WORDS | st.sampled_from(["mV", "uS", "mmHg"])
LABELS = st.fixed_dictionaries({}, optional={"label": WORDS, "unit": UNITS, "type": WORDS})


@pytest.mark.slow
def test_descriptions_and_markers():
    seen = {"streams": 0, "markers": 0}

    @fuzz
    @given(
        WORDS,
        WORDS | st.sampled_from(["ECG", "EDA"]),
        st.sampled_from([0.0, 1.0, 130.0, 1e6]),
        st.lists(LABELS, min_size=1, max_size=3),
        st.binary(max_size=40) | st.integers() | st.floats(),
    )
    def run(name, kind, sfreq, labels, value):
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
