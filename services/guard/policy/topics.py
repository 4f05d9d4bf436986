"""What may be asked about: whether a question holds a word or a phrase of an allowed topic. Knows no language and no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from ragmesh.guard.v1.policy_pb2 import Topic

_SPACE = re.compile(r"\s+")


def folded(text: str) -> str:
    """`text` without case and accents, white space as single spaces."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    return _SPACE.sub(" ", "".join(character for character in bare if not unicodedata.combining(character))).strip()


@dataclass(frozen=True, slots=True)
class Topics:
    """The allowed topics of a policy."""

    terms: tuple[str, ...] = ()
    """Folded words and phrases; none allows everything."""
    _pattern: re.Pattern[str] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, topics: Iterable[Topic]) -> Topics:
        """The topics as a policy has them."""
        terms = tuple(sorted({folded(term) for topic in topics for term in topic.terms}))
        # The longest first, so that a phrase is not cut short by its first word.
        spelt = "|".join(map(_spelt, sorted(terms, key=len, reverse=True)))
        return cls(terms, re.compile(rf"(?<!\w)(?:{spelt})(?!\w)") if terms else None)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def covers(self, texts: Iterable[str]) -> bool:
        """Whether one of `texts` holds a word or a phrase of an allowed topic; always, where there are none."""
        return self._pattern is None or any(self._pattern.search(folded(text)) for text in texts)


def _spelt(term: str) -> str:
    return re.escape(term.rstrip("*")) + (r"\w*" if term.endswith("*") else "")
