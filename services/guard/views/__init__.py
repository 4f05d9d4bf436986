"""Readings of a text: as it is, folded, and decoded. Knows nothing of rules, models or requests."""

from services.guard.views.reading import FOLDED, ORIGINAL, View, fold, readings

__all__ = ["FOLDED", "ORIGINAL", "View", "fold", "readings"]
