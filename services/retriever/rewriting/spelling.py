"""Spelling by the words of the collection: a word that neither it nor the language knows becomes the nearest one that it knows.

Distance is the optimal string alignment distance (Damerau-Levenshtein without overlapping edits; `rapidfuzz`), bounded by length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz import process
from rapidfuzz.distance import OSA

from services.retriever.rewriting.common_words import common_by_length, common_words
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.terms import GERMAN_STOP_WORDS, STOP_WORDS, terms, words

SHORTEST = 4
"""Shorter words have too many neighbours."""
_SHORTEST_NAME = 6
_TWO_EDITS = 7
"""From this length on a word may be two edits away."""
_TWO_EDITS_GERMAN = 9
"""Our list of German words is small: more of what it does not know is a word, and German words are longer."""
_MOST_CORRECTED = 8
_LEAST_PART = 4
_WITHOUT_APOSTROPHE = frozenset(word.replace("'", "") for word in STOP_WORDS if "'" in word)


@dataclass(frozen=True, slots=True)
class Correction:
    """A word that was spelt otherwise, at characters [start, end)."""

    start: int
    end: int
    before: str
    after: str


def corrections(text: str, lexicon: Lexicon, language: str) -> list[Correction]:
    """What to spell otherwise in `text`, in its order."""
    if not lexicon.words:
        return []
    found: list[Correction] = []
    for word, start, end in words(text):
        if len(found) >= _MOST_CORRECTED:
            break
        if len(word) < SHORTEST or not word.isalpha() or _known(word, lexicon, language):
            continue
        # A capital inside a sentence makes it a name: names of others are not to become words of ours.
        name = text[start].isupper() and start > 0 and language != "de"
        if name and len(word) < _SHORTEST_NAME:
            continue
        most = 1 if name or len(word) < (_TWO_EDITS_GERMAN if language == "de" else _TWO_EDITS) else 2
        nearest = _nearest(word, lexicon, language, most, common=not name and language != "de")
        if nearest:
            found.append(Correction(start, end, text[start:end], nearest))
    return found


def apply(text: str, found: Sequence[Correction]) -> str:
    """`text` with its corrections."""
    for one in reversed(found):
        after = one.after.capitalize() if one.before[0].isupper() and not one.before.isupper() else one.after
        text = text[: one.start] + after + text[one.end :]
    return text


def _known(word: str, lexicon: Lexicon, language: str) -> bool:
    if word in lexicon.words or word in lexicon.acronyms or word in common_words(language):
        return True
    if word in (GERMAN_STOP_WORDS if language == "de" else STOP_WORDS) or word in _WITHOUT_APOSTROPHE:
        return True
    if any(term in lexicon.stems for term in terms(word, language)):
        return True
    if language != "de":
        return False
    return any(True for _ in splits(word, lexicon)) or bool(holding(word, lexicon))


def holding(word: str, lexicon: Lexicon) -> list[str]:
    """Longer words that begin or end with `word` or its stem, the most frequent first: "Fahrradkette" for "Ketten"."""
    forms = tuple(form for form in (word, *terms(word, "de")) if len(form) >= _LEAST_PART)
    if not forms:
        return []
    found = [known for known in lexicon.words if len(known) > len(forms[-1]) + 2 and known.startswith(forms)]
    heads = (*forms, *(form + "e" for form in forms))
    found += [known for known in lexicon.words if len(known) > len(forms[-1]) + 2 and known.endswith(heads)]
    return sorted(dict.fromkeys(found), key=lambda known: -lexicon.words[known])


def splits(word: str, lexicon: Lexicon) -> Iterator[tuple[str, str]]:
    """Two known words that a German compound is made of, with a linking "s" between them or none, the longest first part first.

    Koehn and Knight, "Empirical Methods for Compound Splitting" (EACL 2003), for two parts.
    """
    known = lexicon.words
    for at in range(len(word) - _LEAST_PART, _LEAST_PART - 1, -1):
        first, second = word[:at], word[at:]
        if second not in known and not any(term in lexicon.stems for term in terms(second, "de")):
            continue
        if first in known or any(term in lexicon.stems for term in terms(first, "de")):
            yield first, second
        elif first.endswith("s") and len(first) > _LEAST_PART and first[:-1] in known:
            yield first[:-1], second


def _nearest(word: str, lexicon: Lexicon, language: str, most: int, common: bool) -> str:
    near: list[tuple[int, bool, bool, int, str]] = []
    # A slip of a common word that the collection lacks is to become that, and no word of the collection that is further off.
    sources = ((True, lexicon.by_length), (False, common_by_length(language)))[: 1 + (common and len(word) > SHORTEST)]
    for ours, listed in sources:
        choices = [one for length in range(len(word) - most, len(word) + most + 1) for one in listed.get(length, ())]
        for other, distance, _ in process.extract(word, choices, scorer=OSA.distance, score_cutoff=most, limit=8):
            near.append((int(distance), other[0] != word[0], not ours, -lexicon.words.get(other, 0), other))
    return min(near)[-1] if near else ""
