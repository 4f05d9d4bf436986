"""Personal data and secrets in a text: where they are, and what stands there instead. Knows no request, no policy file, no log."""

from services.guard.privacy.finder import LEAST_SCORE, MAX_CHARACTERS, PiiFinder, find_in_turns
from services.guard.privacy.masking import Redacted, Replaced, apply
from services.guard.privacy.match import PiiMatch

__all__ = ["LEAST_SCORE", "MAX_CHARACTERS", "PiiFinder", "PiiMatch", "Redacted", "Replaced", "apply", "find_in_turns"]
