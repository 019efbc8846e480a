"""Importers: vendor files to session files (WFDB, EDF, AcqKnowledge, XDF, Empatica, ...).

`formats` knows the formats, one module each reads them, `channels` tells what a channel is,
`road` writes the session.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
