"""Text to the terms that BM25 counts: folded, without stop words, stemmed by the rules of its language. Both indexes agree by
this on what a word is.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

TERMS_VERSION = 3
"""Moves when the same text gets other terms; an index of other terms is rebuilt."""
MAX_TERM_CHARS = 64

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CYRILLIC = re.compile(r"[а-яё]")
_MARKS = re.compile(r"[\u0300-\u036f]")

_STOP_WORDS = """
    a about above after again against all also am an and any are as at be because been before being below between both but
    by can could did do does doing down during each few for from further had has have having he her here hers herself him
    himself his how i if in into is it its itself just me more most my myself no nor not now of off on once only or other
    our ours ourselves out over own same she should so some such than that the their theirs them themselves then there these
    they this those through to too under until up very was we were what when where which while who whom whose why will with
    would you your yours yourself yourselves please tell explain describe does let's what's who's where's when's how's it's
    i'm don't can't isn't aren't shall may might must upon und oder der das dem ein eine einer eines einem einen
    ist sind waren wird werden von zu im in mit auf für an als auch wie was wer wo wann warum nicht kein keine es er sie
    ich wir ihr и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее мне было вот от
    меня о из ему
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

# Beside those above, and only in German text: "die", "war", "also" and "man" are words of their own in English.
_GERMAN_STOP_WORDS = """
    die des den dass daß bei nach aus um am vom zum zur beim ins durch gegen ohne bis über unter vor zwischen während
    wegen oder aber sondern denn weil wenn ob sich mich mir dich dir uns euch ihn ihm ihnen mein meine meinen meinem
    meiner dein deine sein seine seinen seinem seiner ihre ihren ihrem ihrer unser unsere euer diese dieser dieses
    diesen diesem jene jener jenes welche welcher welches welchen welchem bin bist seid war waren wäre wären worden habe
    hast hat haben hatte hatten hätte kann kannst können konnte könnte darf dürfen soll sollte sollen muss müssen will
    wollen mag möchte gibt es doch noch nur schon sehr mehr viel viele man hier dort da dann so also etwa eben ja nein
    bitte wie wieso weshalb wohin woher womit wofür davon dazu damit dafür darüber daran dabei dadurch darauf darin zu
    erkläre erzähl erzähle sag sage mal eigentlich denn genau
"""
GERMAN_STOP_WORDS = STOP_WORDS | frozenset(_GERMAN_STOP_WORDS.split())

# The stemmers keep state while they work; terms are made in several threads.
_STEMMING = threading.Lock()
_ENGLISH = snowballstemmer.stemmer("english")
_RUSSIAN = snowballstemmer.stemmer("russian")
_GERMAN = snowballstemmer.stemmer("german")


def _stem(word: str, german: bool = False) -> str:
    with _STEMMING:
        stemmed: str = (_RUSSIAN if _CYRILLIC.search(word) else _GERMAN if german else _ENGLISH).stemWord(word)
    return stemmed


@lru_cache(maxsize=100_000)
def _term(word: str, german: bool) -> str:
    """The term of a word in small letters; empty where it is a stop word."""
    if word in (GERMAN_STOP_WORDS if german else STOP_WORDS):
        return ""
    word = word.removesuffix("'s").replace("'", "")
    if german:
        word = _stem(word, german=True)
    # Accents are folded where they are marks on Latin letters: "café" is found by "cafe".
    if not word.isascii() and not _CYRILLIC.search(word):
        word = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", word)))
    if not word:
        return ""
    return (word if german else _stem(word))[:MAX_TERM_CHARS]


def terms(text: str, language: str = "en") -> list[str]:
    """Terms of `text` in order, repeated as often as they occur; empty where it is nothing but stop words and marks.

    Args:
        language: `de` for the rules of German; everything else is read by those of English, Cyrillic by those of Russian.
    """
    german = language == "de"
    found = (_term(word.lower().replace("’", "'"), german) for word in _WORD.findall(text))
    return [term for term in found if term]


def words(text: str) -> Iterator[tuple[str, int, int]]:
    """Words of `text` in small letters, each with the characters [start, end) that it stands at."""
    for match in _WORD.finditer(text):
        yield match.group().lower().replace("’", "'"), match.start(), match.end()
