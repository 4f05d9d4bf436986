"""Cuts a sentence into tokens and tags each by closed classes, endings, capitals and the tag before it.

This module does not know phrases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from training import synthetic_words as words
from training.synthetic_lexicon import read_lexicon

_TOKEN = re.compile(
    r"\d+(?:,\d{3})*(?:\.\d+)?(?:(?:st|nd|rd|th|s)\b)?%?(?:-[^\W\d_]+)*|[^\W\d_]+(?:[.][^\W\d_]\b\.?)+|[^\W_]+(?:[-'’–][^\W_]+)*|\S"
)
_ADJECTIVE = re.compile(r".+(?:ous|ful|ive|able|ible|ical|less|ish|ary|ic|ial|ional|ese|ian)$")


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    lower: str
    tag: str
    """D P S W C M B H DO NEG PR POS NP N NUM V (past or participle) VZ VB VG ADV ADJ TO or the punctuation mark itself."""
    start: int
    end: int


def spell(tokens: list[Token]) -> str:
    """The tokens with the spaces that stood between them."""
    parts: list[str] = []
    for index, token in enumerate(tokens):
        if index and token.start > tokens[index - 1].end:
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts).strip()


def _tag(text: str, lower: str, before: str, before_tag: str) -> str:
    if not (text[0].isalnum()):
        return text
    simple = _CLOSED.get(lower)
    if (text == "I" and before_tag == "NP") or text == "US":
        return "NP"
    if text[0].isupper() and before_tag == "NP" and simple == "ADJ":
        return "NP"
    if simple and not (simple in ("N", "ADJ") or (lower == "may" and text == "May" and before_tag in ("P", "NUM", "D"))):
        return simple
    if text[0].isdigit() or lower in words.NUMBER_WORDS:
        return "NUM"
    if text[0].isupper() and before:
        return "NP"
    if simple:
        return simple
    return _open_class(lower, before, before_tag) if not text[0].isupper() else _opening(text, lower)


def _opening(text: str, lower: str) -> str:
    """The first word of a sentence: a capital says nothing."""
    if words.is_first_name(text) or (len(text) > 1 and text.isupper()):
        return "NP"
    if lower.endswith("ly") and len(lower) > 4:
        return "ADV"
    if lower.endswith("ing") and words.base_of(lower[:-3]) is not None:
        return "VG"
    if _ADJECTIVE.match(lower):
        return "ADJ"
    return "NP"


def _open_class(lower: str, before: str, before_tag: str) -> str:
    lexicon = read_lexicon()
    nominal = before_tag in ("D", "POS", "ADJ", "NUM") or before == "of"
    if lower.endswith("ly") and lower not in (
        "family",
        "supply",
        "italy",
        "assembly",
        "monopoly",
        "ally",
        "fly",
        "reply",
        "apply",
        "anomaly",
    ):
        return "ADV"
    if lower in words.PAST_TO_BASE or lower in words.PARTICIPLES:
        return "V" if not nominal or before == "of" else "N"
    if lower.endswith("ed") and len(lower) > 4 and not lower.endswith(("eed", "hundred")):
        return "ADJ" if nominal and before != "of" else "V"
    if lower.endswith("ing") and len(lower) > 5:
        return "VG" if not nominal else "N"
    if before_tag in ("M", "TO", "DO", "NEG") and (lower in lexicon["bases"] or words.base_of(lower) == lower):
        return "VB"
    if not nominal and lower in lexicon["presents"]:
        return "VZ"
    plural = before_tag == "PR" or (
        before_tag in ("N", "NP") and before.endswith("s") and not before.endswith(("'s", "ss", "us", "is"))
    )
    if (plural or before_tag == "ADV" or before in ("people", "children", "men", "women")) and lower in lexicon["bases"]:
        return "VB"
    if before_tag == "ADV" and lower.endswith("s") and words.base_of(lower) is not None:
        return "VZ"
    return "ADJ" if _ADJECTIVE.match(lower) else "N"


_CLOSED: dict[str, str] = {}
for _tagged, _listed in (
    ("N", words.PERSON_NOUNS | words.THING_NOUNS), ("ADJ", words.ADJECTIVES), ("ADV", words.ADVERBS), ("P", words.PREPOSITIONS),
    ("D", words.DETERMINERS), ("PR", words.PRONOUNS - words.DETERMINERS), ("POS", words.POSSESSIVES), ("S", words.SUBORDINATORS),
    ("C", words.CONJUNCTIONS), ("W", words.RELATIVES - {"that"}), ("M", words.MODALS), ("B", frozenset(words.BE)),
    ("H", frozenset(words.HAVE)), ("DO", frozenset(words.DO)), ("NEG", frozenset({"not"})), ("TO", frozenset({"to"})),
    ("W", frozenset({"that"})),
):  # fmt: skip
    _CLOSED.update(dict.fromkeys(_listed, _tagged))


def tokenise(text: str, offset: int = 0) -> list[Token]:
    found: list[Token] = []
    before = before_tag = ""
    for match in _TOKEN.finditer(text):
        surface = match.group()
        lower = surface.lower()
        tag = _tag(surface, lower, before, before_tag)
        found.append(Token(surface, lower, tag, offset + match.start(), offset + match.end()))
        before, before_tag = lower, tag
    return [_mend(found, index) for index in range(len(found))]


def _mend(tokens: list[Token], index: int) -> Token:
    """What the next word tells: `that` and `this` before a noun are determiners, `to` before a noun is a preposition."""
    token = tokens[index]
    following = tokens[index + 1].tag if index + 1 < len(tokens) else ""
    if (
        token.tag == "TO"
        and following not in ("VB", "B", "H", "DO", "ADV")
        and words.base_of(tokens[index + 1].lower if following else "") is None
    ):
        return Token(token.text, token.lower, "P", token.start, token.end)
    if token.lower == "that" and following in ("N", "ADJ") and index and tokens[index - 1].tag in ("P", "V", "VB"):
        return Token(token.text, token.lower, "D", token.start, token.end)
    if token.lower in ("this", "these", "those") and following in ("B", "H", "M", "V", "VZ", "DO"):
        return Token(token.text, token.lower, "PR", token.start, token.end)
    return token
