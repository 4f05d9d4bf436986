"""Readings of a text: as it is, folded, and decoded. Knows nothing of rules, models or requests."""

from services.guard.views.folding import fold, fold_of_parts
from services.guard.views.reading import each_reading, readings
from services.guard.views.view import FOLDED, ORIGINAL, View

__all__ = ["FOLDED", "ORIGINAL", "View", "each_reading", "fold", "fold_of_parts", "readings"]
