"""In which language a text is: by its function words where they decide, else by Lingua's character trigrams.

Lingua in its low accuracy mode takes 20 MB instead of 320 and is weak below a dozen words; there the function words are strong, for
nobody asks a question without them. Knows nothing of what a text says.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from lingua import Language, LanguageDetector, LanguageDetectorBuilder

UNKNOWN = "und"
MAX_CHARACTERS = 1_000
"""More of a text tells no more about its language."""

_LANGUAGES = {
    "en": Language.ENGLISH,
    "de": Language.GERMAN,
    "fr": Language.FRENCH,
    "es": Language.SPANISH,
    "it": Language.ITALIAN,
    "pt": Language.PORTUGUESE,
    "nl": Language.DUTCH,
    "pl": Language.POLISH,
    "ru": Language.RUSSIAN,
    "tr": Language.TURKISH,
    "cs": Language.CZECH,
    "uk": Language.UKRAINIAN,
}
_TAGS = {language: tag for tag, language in _LANGUAGES.items()}

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_LEAST_LEAD = 0.6
"""By how many words, shared ones counted in parts, the first language must lead."""
_LEAST_LINGUA_LETTERS = 18
"""Below, trigrams guess."""
_LEAST_CONFIDENCE = 0.75


def _owners() -> dict[str, tuple[str, ...]]:
    """Each function word with the languages that have it."""
    listed: dict[str, str] = yaml.safe_load((Path(__file__).parent / "function_words.yaml").read_text(encoding="utf-8"))
    found: dict[str, tuple[str, ...]] = {}
    for tag, words in listed.items():
        for word in set(words.split()):
            found[word] = (*found.get(word, ()), tag)
    return found


_OWNERS = _owners()


def _by_function_words(words: list[str]) -> str | None:
    votes: dict[str, float] = {}
    for word in words:
        owners = _OWNERS.get(word, ())
        for owner in owners:
            votes[owner] = votes.get(owner, 0.0) + 1.0 / len(owners)
    ranked = sorted(votes, key=lambda tag: votes[tag], reverse=True)
    if not ranked:
        return None
    lead = votes[ranked[0]] - (votes[ranked[1]] if len(ranked) > 1 else 0.0)
    return ranked[0] if lead >= _LEAST_LEAD else None


class LanguageFinder:
    """Finds the language of questions. Holds Lingua's models, about 20 MB; loads them in its making."""

    def __init__(self) -> None:
        builder = LanguageDetectorBuilder.from_languages(*_LANGUAGES.values())
        self._lingua: LanguageDetector = builder.with_low_accuracy_mode().with_preloaded_language_models().build()

    def find(self, text: str) -> str:
        """BCP-47 tag of the language of `text`; `und` where it is short or uncertain."""
        text = text[:MAX_CHARACTERS]
        words = [part for word in _WORD.findall(text.lower()) for part in {word, *word.split("-")}]
        found = _by_function_words(words)
        if found is not None:
            return found
        if sum(map(len, words)) < _LEAST_LINGUA_LETTERS:
            return UNKNOWN
        best = self._lingua.compute_language_confidence_values(text)[0]
        return _TAGS[best.language] if best.value >= _LEAST_CONFIDENCE else UNKNOWN
