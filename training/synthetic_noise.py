"""Questions as people type them: lower case, no question mark, key words only, slips, dropped words, another word for the same.

Nothing here changes what is asked. This module does not know passages or answers.
"""

from __future__ import annotations

import random
import re

from training import synthetic_words as words
from training.synthetic_lexicon import listed

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_DROPPABLE = listed(
    """
    the a an of in did does do is was were are to for by
    """
)
_KEY_DROPS = _DROPPABLE | listed(
    """
    what who when where why how which whom many much and with on at from that his her its their as kind year
    """
)
_OPENINGS = (
    "please tell me {}",
    "can you tell me {}",
    "do you know {}",
    "i want to know {}",
    "hi, {}",
    "{} please",
    "so {}",
    "um, {}",
    "ok {}",
)
_KEYS = {
    row[i]: (row[i - 1] if i else "") + (row[i + 1] if i + 1 < len(row) else "")
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i in range(len(row))
}
STYLES = ("plain", "typed", "keywords", "slip", "synonym", "spoken")
WEIGHTS = (58, 20, 7, 5, 6, 4)


def slip(word: str, rng: random.Random) -> str:
    """One mistake of typing inside a word of five letters or more; its first letter stays."""
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    near = _KEYS.get(word[at].lower(), "")
    return word[:at] + rng.choice(near) + word[at + 1 :] if near else word


def _slipped(text: str, rng: random.Random) -> str:
    places = [m for m in _WORD.finditer(text) if len(m.group()) >= 5 and m.group().isalpha()]
    if not places:
        return text
    chosen = rng.choice(places)
    return text[: chosen.start()] + slip(chosen.group(), rng) + text[chosen.end() :]


def _synonym(text: str, rng: random.Random) -> str:
    places = [m for m in _WORD.finditer(text) if m.group() in words.SYNONYMS]
    if not places:
        return text
    chosen = rng.choice(places)
    return text[: chosen.start()] + words.SYNONYMS[chosen.group()] + text[chosen.end() :]


def restyle(question: str, style: str, rng: random.Random) -> str:
    """The question in a style of STYLES."""
    bare = question.rstrip("?").strip()
    if style == "typed":
        text = bare.lower() if rng.random() < 0.85 else bare
        return text.replace("'s", "s") if rng.random() < 0.2 else text
    if style == "keywords":
        kept = [word for word in bare.split() if word.lower() not in _KEY_DROPS]
        return " ".join(kept).lower() if len(kept) >= 3 else bare.lower()
    if style == "slip":
        text = _slipped(question if rng.random() < 0.5 else bare.lower(), rng)
        kept = [word for word in text.split() if word.lower() not in _DROPPABLE or rng.random() < 0.8]
        return " ".join(kept)
    if style == "synonym":
        return _synonym(question, rng)
    if style == "spoken":
        opening = rng.choice(_OPENINGS)
        # "tell me who was X" is how people say it; no need to put the words back in order.
        return opening.format(bare[0].lower() + bare[1:]) + ("?" if rng.random() < 0.4 else "")
    return question


def key_words(sentence: str, rng: random.Random) -> str:
    """Three to five content words of a sentence in its order, lower-cased, some in another word; empty if it has few."""
    found = [m.group() for m in _WORD.finditer(sentence)]
    content = [word for word in found if word.lower() not in _FUNCTION and (len(word) > 3 or word[0].isupper())]
    if len(set(content)) < 5:
        return ""
    chosen = sorted(rng.sample(range(len(content)), min(len(content), rng.randint(3, 5))))
    kept = [content[i].lower() for i in chosen]
    return " ".join(words.SYNONYMS.get(word, word) if rng.random() < 0.5 else word for word in dict.fromkeys(kept))


_FUNCTION = frozenset(words.BE) | frozenset(words.HAVE) | frozenset(words.DO)
_FUNCTION |= words.DETERMINERS | words.PREPOSITIONS | words.SUBORDINATORS | words.RELATIVES | words.CONJUNCTIONS
_FUNCTION |= words.MODALS | words.PRONOUNS | words.POSSESSIVES | words.ADVERBS
