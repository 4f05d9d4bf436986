"""What may be asked about: whether a question holds a word or a phrase of an allowed topic. Knows no language and no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ragmesh.guard.v1.policy_pb2 import Topic

_SPACE = re.compile(r"\s+")


def folded(text: str) -> str:
    """`text` without case and accents, white space as single spaces."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    return _SPACE.sub(" ", "".join(character for character in bare if not unicodedata.combining(character))).strip()


class Topics:
    """The allowed topics of a policy.

    Args:
        topics: as the policy has them; none allows everything.
    """

    def __init__(self, topics: Iterable[Topic]) -> None:
        terms = sorted({folded(term) for topic in topics for term in topic.terms}, key=len, reverse=True)
        self._pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(_spelt, terms)) + r")(?!\w)") if terms else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def covers(self, texts: Iterable[str]) -> bool:
        """Whether one of `texts` is about an allowed topic; always, where nothing is said about topics."""
        return self._pattern is None or any(self._pattern.search(folded(text)) for text in texts)


def _spelt(term: str) -> str:
    return re.escape(term.rstrip("*")) + (r"\w*" if term.endswith("*") else "")
