"""Feature tables to reactivity: what a window is, relative to the baseline of its session.

DataFrame in, DataFrame out; one session or many below each other.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
