"""Virtual Bluetooth peripherals on an in-memory link: rehearsals and tests without hardware.

They speak the real GATT protocols, so that everything above the radio is the same as with
wearables. The radio and the protocol stack are bumble's (extra ``virtual``).
"""

from importlib.util import find_spec

import lazy_loader

from physio_hqc.errors import RecordingError

if find_spec("bumble") is None:
    raise RecordingError(
        "virtual peripherals need the package bumble: pip install 'physio-hqc[virtual]'"
    )

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
