"""Messages for fuzzing the rules: pieces of what they are about, put together, broken, repeated, disguised, with noise between."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.guard_transforms import TRANSFORMS
from services.guard.detection.rules import LoadedRule

MAX_CHARACTERS = 10_000
_SIGNS = (
    " \t\n.,;:!?'\"()[]{}<>|/\\-_*#%&$@=+~^`0123456789abcdefxyzÄÖßéñłşğіаеожщ日本語\u200b\u0301\u202e\ufe01\U000e0041😀\ud800\x00"
)


def _noise(chance: random.Random) -> str:
    return "".join(chance.choice(_SIGNS) for _ in range(chance.randrange(1, 40)))


def _any_characters(chance: random.Random) -> str:
    return "".join(chr(chance.randrange(1, 0x110000)) for _ in range(chance.randrange(1, 30)))


def _cut(chance: random.Random, text: str) -> str:
    start = chance.randrange(len(text))
    return text[start : start + chance.randrange(1, 60)]


def _message(chance: random.Random, pieces: Sequence[str]) -> str:
    parts = []
    for _ in range(chance.randrange(1, 6)):
        kind = chance.random()
        piece = chance.choice(pieces)
        if kind < 0.35:
            parts.append(piece)
        elif kind < 0.6:
            parts.append(_cut(chance, piece))
        elif kind < 0.7:
            words = piece.split()
            chance.shuffle(words)
            parts.append(" ".join(words))
        elif kind < 0.75:
            parts.append(chance.choice(list(TRANSFORMS.values()))(piece))
        elif kind < 0.8:
            parts.append(_cut(chance, piece) * chance.randrange(1, 30))
        elif kind < 0.95:
            parts.append(_noise(chance))
        else:
            parts.append(_any_characters(chance))
    return chance.choice((" ", "", "\n", ". ")).join(parts)[:MAX_CHARACTERS]


def messages(chance: random.Random, rules: Sequence[LoadedRule], count: int) -> Iterator[str]:
    """`count` messages of at most `MAX_CHARACTERS`, the same ones for the same chance."""
    pieces = [text for rule in rules for text in (rule.rule.example, rule.rule.counter_example)]
    for _ in range(count):
        yield _message(chance, pieces)


def hostile(chance: random.Random, rules: Sequence[LoadedRule], count: int) -> Iterator[str]:
    """`count` messages of ten thousand characters that make matching work: full of what rules look for, one part short."""
    pieces = [text for rule in rules for text in (rule.rule.example, rule.rule.counter_example)]
    words = sorted({word for piece in pieces for word in piece.split()})
    for number in range(count):
        kind = number % 6
        if kind == 0:
            text = " ".join(chance.choices(words, k=2_000))
        elif kind == 1:
            text = " ".join(chance.choices(chance.choices(words, k=6), k=3_000))
        elif kind == 2:
            text = " ".join(chance.choices(pieces, k=300))
        elif kind == 3:
            text = chance.choice(list(TRANSFORMS.values()))(" ".join(chance.choices(pieces, k=100)))
        elif kind == 4:
            text = (
                chance.choice((" ", "a", "(", "ignore ", "you ", "%41", "&#65;", "1a", "A", "é", "и", ".-", "= ")) * MAX_CHARACTERS
            )
        else:
            text = "".join(_message(chance, pieces) for _ in range(100))
        yield text[:MAX_CHARACTERS]
