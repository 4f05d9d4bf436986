"""Questions that no model needs to read: most of their words are in no small talk.

The served head reads no text with more than three such words, or more than 24 words; here is the same rule, so that it is not asked
at all (`ragmesh_models.intents.IntentFeatures`, which a test compares with this). Knows no intent.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

MAX_WORDS = 24
MOST_STRANGE = 3
_VOCABULARY = Path(__file__).parent / "small_talk" / "vocabulary.txt"
_WORD = re.compile(r"[^\W_]+(?:['’´`][^\W_]+)*")
_APOSTROPHES = str.maketrans("", "", "'’´`")
# Three or more of one letter are one: "hellooo" is "hello".
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_CHANGED = re.compile(r"['’´`]|(.)\1{2}")
"""Stands in a text with a word that one of the two changes."""


def _words(text: str) -> list[str]:
    folded = text.casefold()
    if not folded.isascii():
        decomposed = unicodedata.normalize("NFKD", folded)
        folded = "".join(character for character in decomposed if not unicodedata.combining(character))
    words = _WORD.findall(folded)
    if _CHANGED.search(folded):
        words = [_DRAWN_OUT.sub(r"\1", word.translate(_APOSTROPHES)) for word in words]
    return ["0" if word.isdigit() else word for word in words]


class Obvious:
    """Tells what can be no small talk.

    Args:
        path: the words that the served head was trained on, one a line; `training/intent_recipe.py` writes them.
    """

    def __init__(self, path: Path = _VOCABULARY) -> None:
        self._vocabulary = frozenset(path.read_text(encoding="utf-8").split())

    def question(self, text: str) -> bool:
        """Whether `text` is a question for its words alone."""
        words = _words(text)
        return len(words) > MAX_WORDS or len([word for word in words if word not in self._vocabulary]) > MOST_STRANGE
