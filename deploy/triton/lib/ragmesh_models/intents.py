"""Small talk or a question: the features of a short text, and the small network that reads them.

Words in runs of up to three and letters in runs of three to five, hashed, beside how many words no small talk has: an utterance is
small talk only if hardly a word of it is strange. English and German. This module does not know how the network was trained.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.runtime import open_graph

LABELS = ("question", "greeting", "thanks", "goodbye", "identity", "capabilities", "wellbeing")
BUCKETS = 1 << 14
"""Row 0 is padding."""
MAX_CHARS = 160
MAX_WORDS = 24
"""Longer is no small talk, unread."""
MAX_FEATURES = 768
MOST_STRANGE = 3
"""Words that no small talk has; with more of them a text is a question, unread."""
_STRANGE = "\0"

_ASKS, _EMOJI = "?", "☺"

_TOKEN = re.compile(r"[^\W_]+(?:['’´`][^\W_]+)*|[?]|[^\w\s]")
_APOSTROPHES = str.maketrans("", "", "'’´`")
# Three or more of one letter are one: "hellooo" is "hello".
_DRAWN_OUT = re.compile(r"(.)\1{2,}")


def tokens_of(text: str) -> list[str]:
    """Words in lower case without diacritics and apostrophes, `?`, and one mark for any emoji."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in folded if not unicodedata.combining(character))
    found: list[str] = []
    for piece in _TOKEN.findall(plain):
        if piece[0].isalnum():
            word = _DRAWN_OUT.sub(r"\1", piece.translate(_APOSTROPHES))
            found.append("0" if word.isdigit() else word)
        elif piece == _ASKS or unicodedata.category(piece) == "So":
            mark = _ASKS if piece == _ASKS else _EMOJI
            if not found or found[-1] != mark:
                found.append(mark)
    return found


def _is_word(token: str) -> bool:
    return token not in (_ASKS, _EMOJI)


class IntentFeatures:
    """Text to rows of the network's table.

    Args:
        vocabulary: the words of small talk.
    """

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._vocabulary = vocabulary

    def __call__(self, text: str) -> NDArray[np.int32] | None:
        """(n,) rows, each once, at most MAX_FEATURES; None for a text too long, too strange or too empty to be small talk."""
        if len(text) > MAX_CHARS:
            return None
        tokens = tokens_of(text)
        words = [token for token in tokens if _is_word(token)]
        if len(words) > MAX_WORDS or not tokens:
            return None
        # A word that no small talk has stands in runs as a stranger: "what can <stranger> do" is learned once for all of them.
        known = [token if not _is_word(token) or token in self._vocabulary else _STRANGE for token in tokens]
        if known.count(_STRANGE) > MOST_STRANGE:
            return None
        names = [f"s{known.count(_STRANGE)}", f"n{min(len(words), 12)}"]
        framed = ["^", *known, "$"]
        for size in (1, 2, 3):
            names += [f"{size} {' '.join(framed[i : i + size])}" for i in range(len(framed) - size + 1)]
        for word in words:
            if word not in self._vocabulary:
                names.append(f"w{word}")
            bounded = f"<{word}>"
            for size in (3, 4, 5):
                names += [bounded[i : i + size] for i in range(len(bounded) - size + 1)]
        rows = {1 + zlib.crc32(name.encode()) % (BUCKETS - 1): None for name in names}
        return np.fromiter(rows, dtype=np.int32, count=len(rows))[:MAX_FEATURES]


class IntentReader:
    """Reads intents with the exported graph.

    Args:
        folder: holds `intent.onnx` and `intent.json`.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        config = json.loads((folder / "intent.json").read_text(encoding="utf-8"))
        if tuple(config["labels"]) != LABELS:
            raise ValueError(f"{folder}: the weights know other intents than {', '.join(LABELS)}")
        self.threshold = float(config["threshold"])
        """An utterance is small talk where `1 - probability of question` is at least this."""
        self.graph = open_graph(folder / "intent.onnx", threads)
        self._features = IntentFeatures(frozenset(config["vocabulary"]))

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """(n, 7) calibrated probabilities in the order of LABELS."""
        found = [self._features(text) for text in texts]
        result = np.zeros((len(texts), len(LABELS)), dtype=np.float32)
        result[:, 0] = 1
        read = [index for index, rows in enumerate(found) if rows is not None]
        if read:
            width = max(len(rows) for rows in found if rows is not None)
            ids = np.zeros((len(read), width), dtype=np.int32)
            for place, index in enumerate(read):
                rows = found[index]
                assert rows is not None
                ids[place, : len(rows)] = rows
            result[read] = self.graph.run({"ids": ids})["probabilities"]
        return result
