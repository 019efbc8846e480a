"""A session with something that identifies in every place that holds text."""

from pathlib import Path
from typing import Any

import numpy as np

from physio_hqc.protocol import Protocol, load_protocol
from physio_hqc.session import SessionWriter

T0 = 1_705_309_261_123_456_789  # 2024-01-15T09:01:01 UTC
DATES = ("2024-01-15", "20240115", "15.01.2024", "15-JAN-2024", "15.01.24")


def hostile_session(
    folder: Path, secrets: list[str], session_id: str = "11111111-2222-4333-8444-555555555555"
) -> Path:
    """Write a session with a secret in every place that holds text."""
    person, dyad, name, partner, serial, word = secrets
    plain = word.replace("ö", "o")
    design = load_protocol("lepore_1993").model_dump(mode="json")
    design |= {"name": f"study_{plain}", "title": f"With {word}", "references": [person]}
    design["phases"][2]["name"] = f"talk_{plain}"
    design["phases"][0] |= {"label": f"Rest of {word}", "instructions": f"Call {word}"}
    design["interactions"] = [{"label": f"meet_{plain}", "meaning": word}]
    design["ratings"][0] |= {"label": word, "anchors": {"1": person}}
    design["conditions"][0]["meaning"] = f"asked by {word} on 2024-01-15"
    protocol = Protocol.model_validate(
        {**design, "ratings": [{**r, "anchors": {}} for r in design["ratings"]]}
    )
    path = folder / f"{name}.h5"
    device = {
        "model": f"Band {serial}",
        "firmware": "3.1.1",
        "maker": "Polar Electro",
        "serial": serial,
        "address": "A0:9E:1A:AB:CD:EF",
        "name": f"{word}'s band",
        "source_file": f"{name}_20240115.edf",
        "transducer": f"electrode of {word}",
        "import_notes": [f"{name}.edf: begins on 15.01.2024, patient {word}"],
        "user": {word: word},
    }
    with SessionWriter(
        path,
        participant_id=person,
        dyad_id=dyad,
        condition=f"with {word}",
        role=f"child of {word}",
        protocol=protocol.to_yaml(),
        t0_unix_ns=T0,
        session_id=session_id,
        overwrite=True,
    ) as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0, device=device)
        writer.add_stream(
            f"acc_{plain}",
            modality="acc",
            units="g",
            sfreq=4.0,
            channels=[f"x {person}", "y", "z"],
            device=device,
        )
        writer.append_segment("eda", 5 + np.sin(np.arange(400) / 9), t_start=0.0)
        writer.append_segment(f"acc_{plain}", np.ones((400, 3)), t_start=0.5)
        payload: dict[str, Any] = {
            "partner": partner,
            "condition": f"with {word}",
            "speech": True,
            "comment": word,
            word: 3.0,
            "phone": 4917012345,
            "ratings": {f"closeness of {word}": 4, "stress": 2},
            "participant_id": person,
            "nested": {"who": [partner, person]},
        }
        places = [
            ("phase", "baseline", 0.0, 30.0),
            ("phase", f"talk_{plain}", 30.0, 40.0),
            ("interaction", f"meet_{plain}", 31.0, 20.0),
            ("interaction", f"chat with {word}", 55.0, 10.0),
            ("marker", f"{word} coughs on 2024-01-15", 56.0, 0.0),
            ("marker", f"end of chat with {word}", 65.0, 0.0),
            ("marker", "Stimulus/S  7", 66.0, 0.0),
            ("marker", partner, 67.0, 0.0),
            ("rating", "stress", 70.0, 0.0),
            ("rating", f"liking {word}", 70.5, 0.0),
            ("note", f"{word} says that {partner} was late", 71.0, 0.0),
            ("system", f"device {serial} lost", 72.0, 0.0),
        ]
        for kind, label, onset, duration in places:
            about = payload | ({"value": 3.0, "min": 1.0, "max": 7.0} if kind == "rating" else {})
            writer.add_event(
                onset, kind, label, duration=duration, source=f"{name}.csv", payload=about
            )
    return path
