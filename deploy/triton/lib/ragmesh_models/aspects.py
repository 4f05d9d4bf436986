"""What a question wants to know about its subject (its symptoms, its causes, ...), and which of that a passage is about.

A question says it in a phrase, which rules find; a passage is judged by a table of weights, one row a stem. This module does not
know how the table was trained.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# The first rule that matches counts: what is asked for more narrowly comes first.
_RULES = [
    ("genetic changes", r"\bgenetic (?:changes|mutations?)|\b(?:which|what) genes?\b|\bmutations?\b"),
    ("inheritance", r"\binherit|\bhereditary\b|\bpassed (?:on|down)\b|\brun in (?:the )?famil"),
    ("frequency", r"\bhow (?:common|frequent|rare|prevalent)\b|\bhow many people\b|\bprevalence\b|\bincidence\b"),
    ("susceptibility", r"\bat risk\b|\brisk factors?\b|\bwho (?:gets|is likely to get)\b"),
    ("complications", r"\bcomplications?\b"),
    ("outlook", r"\boutlook\b|\bprognos[ei]s\b|\blife expectancy\b|\bsurvival\b"),
    ("stages", r"\bstages\b"),
    ("research", r"\bresearch\b|\bclinical trials?\b|\bstudies\b"),
    ("support groups", r"\bsupport (?:for|groups?)\b|\bwhere (?:can|to) .{0,20}find (?:help|support)\b"),
    ("prevention", r"\bprevent|\bavoid\b|\bprotect(?:ed)? (?:myself|yourself|against|from)\b"),
    ("exams and tests", r"\bdiagnos|\btest(?:s|ed)? for\b|\bexams?\b|\bdetect(?:ed)?\b"),
    ("treatment", r"\btreat(?:s|ed|ing|ments?)?\b|\btherap(?:y|ies)\b|\bcures?\b|\bmedications? for\b|\bmanaged?\b"),
    ("symptoms", r"\bsymptoms?\b|\bsigns\b|\blook like\b"),
    ("considerations", r"\bwhat (?:to|should i|can i) do (?:for|about)\b|\bhow to (?:live|cope) with\b"),
    ("causes", r"\bcaus(?:e[sd]?|ing)\b|\bwhy (?:do|does) .{2,40} (?:occur|happen)\b"),
    ("information", r"^(?:what(?:'s| is| are| is \(are\))|who is) |\binformation (?:on|about)\b|\bneed to know about\b|"
                    r"\btell me about\b"),
]  # fmt: skip
NAMES = tuple(name for name, _ in _RULES)
_COMPILED = [re.compile(rule, re.IGNORECASE) for _, rule in _RULES]


def aspect_of(question: str) -> int:
    """Index into NAMES, -1 for a question that names no aspect."""
    text = question.strip()
    for number, rule in enumerate(_COMPILED):
        if rule.search(text):
            return number
    return -1


class AspectTable:
    """Weights of stems for each aspect; a passage's aspects are the softmax of their mean, sharpened by the root of their number.

    Args:
        weights: (stems, len(NAMES)).
        bias: (len(NAMES),).
    """

    def __init__(self, stems: list[str], weights: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self._rows = {s: row for row, s in enumerate(stems)}
        self._weights = weights
        self._bias = bias

    def rows_of(self, stems: Collection[str]) -> list[int]:
        """Rows of the table that distinct stems switch on."""
        rows = self._rows
        return [rows[s] for s in stems if s in rows]

    def __call__(self, stems: Collection[str]) -> NDArray[np.float32]:
        """Log-probabilities of the aspects of a text with these distinct stems: (len(NAMES),)."""
        rows = self.rows_of(stems)
        logits = self._bias + self._weights[rows].sum(0) / np.sqrt(max(1, len(rows)))
        highest = logits.max()
        return np.asarray(logits - highest - np.log(np.exp(logits - highest).sum()), dtype=np.float32)

    def dump(self, path: Path) -> None:
        """int8 rows with one scale for all."""
        scale = float(np.abs(self._weights).max()) / 127 or 1.0
        head = {"stems": list(self._rows), "bias": [round(float(b), 5) for b in self._bias], "scale": scale}
        codes = np.round(self._weights / scale).astype(np.int8)
        path.write_bytes(zlib.compress(json.dumps(head, ensure_ascii=False).encode() + b"\0" + codes.tobytes(), 9))

    @classmethod
    def load(cls, path: Path) -> AspectTable:
        text, _, codes = zlib.decompress(path.read_bytes()).partition(b"\0")
        head = json.loads(text)
        weights = np.frombuffer(codes, dtype=np.int8).astype(np.float32).reshape(-1, len(NAMES)) * np.float32(head["scale"])
        return cls(head["stems"], weights, np.array(head["bias"], dtype=np.float32))
