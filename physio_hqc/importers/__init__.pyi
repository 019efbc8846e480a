from .formats import FORMATS as FORMATS
from .formats import read_recording as read_recording
from .road import ImportReport as ImportReport
from .road import import_recording as import_recording
