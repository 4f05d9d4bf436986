"""Text to the terms that BM25 counts: folded, without stop words, stemmed. Both indexes agree by this on what a word is."""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer

TERMS_VERSION = 2
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

# The stemmers keep state while they work; terms are made in several threads.
_STEMMING = threading.Lock()
_ENGLISH = snowballstemmer.stemmer("english")
_RUSSIAN = snowballstemmer.stemmer("russian")


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    with _STEMMING:
        stemmed: str = (_RUSSIAN if _CYRILLIC.search(word) else _ENGLISH).stemWord(word)
    return stemmed


def terms(text: str) -> list[str]:
    """Terms of `text` in order, repeated as often as they occur; empty where it is nothing but stop words and marks."""
    found: list[str] = []
    for match in _WORD.finditer(text.lower()):
        word = match.group().replace("’", "'")
        if word in STOP_WORDS:
            continue
        word = word.removesuffix("'s").replace("'", "")
        # Accents are folded where they are marks on Latin letters: "café" is found by "cafe".
        if not word.isascii() and not _CYRILLIC.search(word):
            word = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", word)))
        if word:
            found.append(_stem(word)[:MAX_TERM_CHARS])
    return found
