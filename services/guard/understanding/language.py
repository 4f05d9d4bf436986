"""In which language a text is: by its function words and letters where they decide, else by them and Lingua's character trigrams.

Lingua in its low accuracy mode takes 20 MB instead of 320 and is weak below a dozen words; there the function words are strong, for
nobody asks a question without them. Knows nothing of what a text says.
"""

from __future__ import annotations

import re
from functools import lru_cache
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
_MAX_WORD = 40
"""Letters of a word that is remembered."""
_LEAST_LEAD = 0.6
"""By how many words, shared ones counted in parts, the first language must lead."""
_LETTER = 0.6
"""What a word counts that has a letter of few languages."""
_LEAST_LINGUA_LETTERS = 12
"""Below, trigrams guess."""
_LINGUA = 2.0
"""What Lingua's whole confidence counts, in words."""
_LEAST_LEAD_WITH_LINGUA = 0.5

# Letters that not every language has; those of one alone decide where no word is known.
_LETTERS = {
    "de": "äöüß",
    "fr": "àâçéèêëîïôùûœ",
    "es": "áéíñóú¿¡",
    "it": "àèéìòù",
    "pt": "áâãàçéêíóôõú",
    "nl": "ëï",
    "pl": "ąćęłńóśźż",
    "tr": "çğıöşü",
    "cs": "áčďéěíňóřšťúůýž",
}
# What longer words end in. It speaks for a language, and decides only beside another sign.
_ENDING, _LEAST_WORD = 0.35, 5
_ENDINGS = {
    "en": "ing tion tions ed ly ght ness ment ous ful ties ship wn",
    "de": "ung ungen lich liche lichen keit heit isch ische ischen schen ten ften chen rte rten tet",
    "fr": "tion tions eux euse ement ements aient ique iques elle elles eur eurs ais ait iste",
    "es": "ción ciones idad idades ando iendo aron ieron mente ado ados ada adas miento uelo illo bre",
    "it": "zione zioni mente ato ati ata ate are ere ire zza gli ando endo ico ici iche ella elli mento",
    "pt": "ção ções idade idades ando endo aram eram mente ado ados ada adas mento inho nho lho agem eiro",
    "nl": "ijk ijke heid heden ische ste ing ingen aat aar oor eer den uit eld",
    "pl": "ych ego owych owej ość ości nie ania ski skiej cji cja wie ych ami ach ów rz sz cz",
    "tr": "lar ler ları leri larının lerinin nın nin dan den dır dir yor mış miş arak erek lık lik ında inde",
    "cs": "ých ého ost osti ní ých nou ali ovat ová ový ské ský ách ách ům ích",
}
_CYRILLIC, _UKRAINIAN, _RUSSIAN = re.compile(r"[\u0400-\u04ff]"), re.compile(r"[іїєґІЇЄҐ]"), re.compile(r"[ыэъёЫЭЪЁ]")
_MARKED = re.compile(r"[^\W\da-z]|[¿¡]")


def _owners() -> dict[str, tuple[str, ...]]:
    """Each function word with the languages that have it."""
    listed: dict[str, str] = yaml.safe_load((Path(__file__).parent / "function_words.yaml").read_text(encoding="utf-8"))
    found: dict[str, tuple[str, ...]] = {}
    for tag, words in listed.items():
        for word in set(words.split()):
            found[word] = (*found.get(word, ()), tag)
    return found


_OWNERS = _owners()


_LETTER_OWNERS = {
    letter: tuple(tag for tag, letters in _LETTERS.items() if letter in letters) for letter in set("".join(_LETTERS.values()))
}


_ENDING_OWNERS = {
    ending: tuple(tag for tag, listed in _ENDINGS.items() if ending in listed.split())
    for ending in {ending for listed in _ENDINGS.values() for ending in listed.split()}
}


def _by_ending(word: str) -> tuple[str, ...]:
    """The languages of the longest ending that is listed."""
    return next((owners for size in range(6, 1, -1) if (owners := _ENDING_OWNERS.get(word[-size:]))), ())


@lru_cache(maxsize=20_000)
def _spoken(word: str) -> tuple[tuple[str, float], ...]:
    """What a word, of at most `_MAX_WORD` letters, says for which language. Most words of a text are words of others, too."""
    owners = _OWNERS.get(word, ())
    if owners:
        return tuple((owner, 1.0 / len(owners)) for owner in owners)
    ended = _by_ending(word) if len(word) >= _LEAST_WORD else ()
    found = [(owner, _ENDING / len(ended)) for owner in ended]
    if not word.isascii():
        # Those that have all of the word's letters: two marks together say more than each alone.
        marks = [set(_LETTER_OWNERS.get(letter, ())) for letter in _MARKED.findall(word)]
        having = set.intersection(*marks) if marks else set()
        found += [(owner, _LETTER / len(having)) for owner in sorted(having)]
    return tuple(found)


def _votes(words: list[str]) -> dict[str, float]:
    """What speaks for each language, in words."""
    votes: dict[str, float] = {}
    for word in words:
        for owner, weight in _spoken(word) if len(word) <= _MAX_WORD else _spoken.__wrapped__(word):
            votes[owner] = votes.get(owner, 0.0) + weight
    return votes


def _leader(votes: dict[str, float], least: float) -> str | None:
    """The language that leads by at least so much."""
    ranked = sorted(votes.values(), reverse=True)[:2]
    if not ranked or ranked[0] - (ranked[1] if len(ranked) > 1 else 0.0) < least:
        return None
    return max(votes, key=lambda tag: votes[tag])


class LanguageFinder:
    """Finds the language of questions. Holds Lingua's models, about 20 MB; loads them in its making."""

    def __init__(self) -> None:
        builder = LanguageDetectorBuilder.from_languages(*_LANGUAGES.values())
        self._lingua: LanguageDetector = builder.with_low_accuracy_mode().with_preloaded_language_models().build()

    def find(self, text: str) -> str:
        """BCP-47 tag of the language of `text`; `und` where it is short or uncertain."""
        text = text[:MAX_CHARACTERS]
        words = _WORD.findall(text.lower())
        if "-" in text:
            words = [part for word in words for part in {word, *word.split("-")}]
        votes = _votes(words)
        letters = sum(map(len, words))
        if not text.isascii() and len(_CYRILLIC.findall(text)) * 2 > letters:
            # Each of the two languages in this script has letters that the other has not, in every second word.
            own = votes.get("uk", 0.0) - votes.get("ru", 0.0) + len(_UKRAINIAN.findall(text)) - len(_RUSSIAN.findall(text))
            return "uk" if own > 0 else "ru"
        found = _leader(votes, _LEAST_LEAD)
        if found is not None:
            return found
        if letters < _LEAST_LINGUA_LETTERS:
            return UNKNOWN
        for guess in self._lingua.compute_language_confidence_values(text):
            votes[_TAGS[guess.language]] = votes.get(_TAGS[guess.language], 0.0) + _LINGUA * guess.value
        return _leader(votes, _LEAST_LEAD_WITH_LINGUA) or UNKNOWN
