"""One session end to end: read, signals, features, reactivity, provenance, results on disk.

`process` is the road; `streams` chooses and reads, `parts` computes per stream, `tidy` builds the
features table, `schema` knows every column, `store` writes the folder whole or not at all.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
