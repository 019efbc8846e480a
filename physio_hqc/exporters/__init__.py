"""Exporters: a session in the formats of other tools (BIDS, EDF+, FIF, CSV).

`content` is what every exporter writes from, `deidentify` and `key` change it, `road` does an
export from the session file to the file or folder written.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
