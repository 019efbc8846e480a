from .scores import REACTIVITY_COLUMNS as REACTIVITY_COLUMNS
from .scores import reactivity_scores as reactivity_scores
