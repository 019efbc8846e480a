"""From wearable and lab recordings to cardiovascular reactivity.

`physio_hqc` takes ECG, blood pressure and EDA from recorded files or a session file, turns them
into beats, HRV, pressure and EDA features per tagged phase and interaction window, and into
reactivity scores. The names below are loaded when they are first used, so that
``import physio_hqc`` stays light.

>>> import physio_hqc
>>> physio_hqc.open_session
<function open_session at ...>
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
