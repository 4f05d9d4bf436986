"""What one draft is judged against: its evidence, the question, the assistant's texts, and what the policy says.

Reads evidence only when something composed asks for it, and then once: copies, which are most of what is said, need none of it.
Knows no decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain

from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2

from services.guard.output.claims import sentences
from services.guard.output.facts import compact
from services.guard.output.hallucination import Given
from services.guard.output.leaks import Protected
from services.guard.output.quotes import Passages
from services.guard.output.windows import Window, Windows, windows
from services.guard.policy.policy import PiiActions
from services.guard.privacy import PiiFinder, PiiMatch
from services.mesh.assistant import Assistant

MAX_EVIDENCE_CHARACTERS = 256 * 1024
"""Of the passages that one claim cites; more are not read for facts."""
MAX_GIVEN = 32
"""Sets of passages whose facts are kept."""
# Letters and digits mixed: a word that its owner put among the instructions to see it again.
_CANARY = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])[\w-]{12,64}\b")


@lru_cache(maxsize=64)
def _protected(texts: tuple[str, ...]) -> Protected:
    return Protected(texts, (word for text in texts for word in _CANARY.findall(text)))


@lru_cache(maxsize=64)
def _reviewed(texts: tuple[str, ...]) -> str:
    return compact("\n".join(texts))


class Draft:
    """What a draft is judged against.

    Args:
        passages: the evidence of the turn.
        assistant: whose reviewed texts count.
        language: of the conversation, a BCP-47 tag.
        question: what was asked; empty where it is not known.
        persona_names: what the assistant is called, beside its display name.
        protected: texts that must not be said, beside the assistant's persona.
        actions: what the policy does about a category, where it is not what a finding's weight says.
        release_unverified: whether composed claims that nothing could verify are released, marked as such.
        finder: finds personal data; None looks for none.
        pii_actions: what the policy does about kinds of it in answers.
    """

    def __init__(
        self,
        passages: Passages,
        assistant: Assistant,
        *,
        language: str = "und",
        question: str = "",
        persona_names: Iterable[str] = (),
        protected: Iterable[str] = (),
        actions: Mapping[pb.Category.ValueType, pb.Action.ValueType] | None = None,
        release_unverified: bool = False,
        finder: PiiFinder | None = None,
        pii_actions: PiiActions | None = None,
    ) -> None:
        self.passages = passages
        self.templates: Mapping[str, Mapping[str, str]] = assistant.templates
        self.language = language
        self.question = question
        self.release_unverified = release_unverified
        self._names = (assistant.display_name, *persona_names)
        self.names = frozenset(map(compact, self._names))
        self.protected = _protected((*assistant.persona.values(), *protected))
        shown = (*assistant.introduction.values(), *assistant.disclaimer.values())
        self.reviewed = _reviewed((*shown, *chain.from_iterable(texts.values() for texts in self.templates.values())))
        self._actions = actions or {}
        self._shown_pii = {kind for kind, action in (pii_actions or {}).items() if action == pii_pb2.PII_ACTION_ALLOW}
        # Looked for only where the policy does something about some kind.
        self._finder = finder if pii_actions and len(self._shown_pii) < len(pii_actions) else None
        self._given: dict[frozenset[str], Given] = {}
        self._windows: dict[str, list[Window]] = {}
        self._sentences: dict[str, frozenset[str]] = {}
        self._of: dict[tuple[str, ...], tuple[Windows, frozenset[str]]] = {}

    def withholds(self, finding: pb.Finding, grave: bool) -> bool:
        """Whether a finding keeps a text from leaving: as the policy has it for its category, else where it is `grave`."""
        action = self._actions.get(finding.category)
        return action == pb.ACTION_BLOCK if action is not None else grave

    def private(self, text: str, names: Iterable[str]) -> list[PiiMatch]:
        """Personal data and secrets of `text` that the policy keeps out of answers and the passages of these names do not give."""
        if self._finder is None:
            return []
        there = "\n".join(passage.text for passage in self.passages.named(names))
        found = self._finder.find(text, self.language.partition("-")[0].lower() or "und")
        return [one for one in found if one.kind not in self._shown_pii and text[one.start : one.end] not in there]

    def given(self, names: Iterable[str]) -> Given:
        """The facts of the passages of these names, of all where there are none."""
        key = frozenset(names)
        if key not in self._given:
            if len(self._given) >= MAX_GIVEN:
                self._given.clear()
            passages = self.passages.named(key)
            texts, left = [], MAX_EVIDENCE_CHARACTERS
            for evidence in passages:
                texts.append(evidence.text[:left])
                left -= len(texts[-1])
            titles = ["\n".join(evidence.title_path) for evidence in passages]
            self._given[key] = Given(
                texts,
                named=[*titles, self.question, *self._names],
                addresses=[evidence.source_uri for evidence in passages],
                count=len(self.passages),
            )
        return self._given[key]

    def beside(self, names: Iterable[str]) -> tuple[Windows, frozenset[str]]:
        """The windows and the sentences of the passages of these names, of all where there are none."""
        key = tuple(names)
        if key not in self._of:
            if len(self._of) >= MAX_GIVEN:
                self._of.clear()
            self._of[key] = self._windows_of(key), self._sentences_of(key)
        return self._of[key]

    def _windows_of(self, names: Iterable[str]) -> Windows:
        found: list[Window] = []
        for evidence in self.passages.named(names):
            if evidence.name not in self._windows:
                self._windows[evidence.name] = windows(evidence.text, evidence.title_path[-1] if evidence.title_path else "")
            found += self._windows[evidence.name]
        return Windows(found)

    def _sentences_of(self, names: Iterable[str]) -> frozenset[str]:
        found: set[str] = set()
        for evidence in self.passages.named(names):
            if evidence.name not in self._sentences:
                text = evidence.text
                self._sentences[evidence.name] = frozenset(text[start:end] for start, end in sentences(text))
            found |= self._sentences[evidence.name]
        return frozenset(found)
