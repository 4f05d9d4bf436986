"""Whether a text fits the conversation: the script of its language, and an answer instead of the question given back.

Knows scripts and words; not what is true.
"""

from __future__ import annotations

import re

from services.guard.output.windows import stems

_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_SCRIPTS = {
    "latin": _LATIN,
    "cyrillic": re.compile(r"[\u0400-\u052f]"),
    "greek": re.compile(r"[\u0370-\u03ff]"),
    "arabic": re.compile(r"[\u0600-\u077f]"),
    "hebrew": re.compile(r"[\u0590-\u05ff]"),
    "devanagari": re.compile(r"[\u0900-\u097f]"),
    "thai": re.compile(r"[\u0e00-\u0e7f]"),
    "kana": re.compile(r"[\u3040-\u30ff]"),
    "han": re.compile(r"[\u3400-\u9fff]"),
    "hangul": re.compile(r"[\uac00-\ud7af]"),
}
_OF_LANGUAGE = {
    **dict.fromkeys(("ru", "uk", "bg", "be", "mk", "sr", "kk", "mn"), ("cyrillic",)),
    "el": ("greek",),
    **dict.fromkeys(("ar", "fa", "ur"), ("arabic",)),
    **dict.fromkeys(("he", "yi"), ("hebrew",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("devanagari",)),
    "th": ("thai",),
    "ja": ("kana", "han"),
    "zh": ("han",),
    "ko": ("hangul", "han"),
}
# Serbian is written in both; the rest of those that are not named above in Latin letters.
_BOTH = frozenset({"sr", "kk", "mn"})
_UNKNOWN = frozenset({"", "und", "mul", "zxx"})
FOREIGN = 0.5
"""Share of its letters that may stand in another script: names and quotations do."""
_LEAST_LETTERS = 12
ECHO = 0.8
"""Share of the words of a question that come back in it."""
_LEAST_WORDS = 3


def foreign(text: str, language: str) -> float:
    """Share of the letters of `text` that the language, a BCP-47 tag, is not written with; 0 where there are few or it is not
    known.

    Latin letters are read everywhere (names, formulas, code): alone they are foreign only where they are nearly all there is.
    """
    primary = language.partition("-")[0].lower()
    if primary in _UNKNOWN or primary in _BOTH or (text.isascii() and primary not in _OF_LANGUAGE):
        return 0.0
    expected = _OF_LANGUAGE.get(primary, ("latin",))
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    letters = sum(counts.values())
    if letters < _LEAST_LETTERS:
        return 0.0
    share = sum(count for name, count in counts.items() if name not in expected) / letters
    if "latin" not in expected and counts["latin"] >= share * letters * 0.9:
        return share if share > 0.95 and letters >= 3 * _LEAST_LETTERS else 0.0
    return share


def asks(text: str) -> bool:
    """Whether a text is nothing but a question."""
    return text.rstrip(" \t\r\n\"'”’»)*_").endswith(("?", "？", "؟"))


def echo(text: str, question: str) -> float:
    """How much of `text`, a question, comes from `question`: the share of its words, 0 where it asks nothing or is short."""
    if not asks(text):
        return 0.0
    said, asked = stems(text), stems(question)
    return len(said & asked) / len(said) if len(said) >= _LEAST_WORDS and asked else 0.0
