"""What can be seen in a composed segment without a model: garbage, leaks, what the evidence does not give, another voice or script.

Puts the methods of this package together into findings; keeps what only several segments show (loops, a leak over a border, a
contradiction). Knows no model and no stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output import conversation, persona
from services.guard.output.contradiction import Answer
from services.guard.output.draft import Draft
from services.guard.output.facts import compact
from services.guard.output.findings import finding
from services.guard.output.garbage import Repeats, garbage
from services.guard.output.hallucination import lacks
from services.guard.output.leaks import Leak, told
from services.guard.privacy import PiiMatch
from services.guard.privacy.match import SECRETS
from services.guard.views import readings

MAX_FINDINGS = 16
_KEPT = 4_096
_CITATION = "hallucination.citation"
_NEGATION = "hallucination.negation"
_ENTITY = "hallucination.entity"
OVERRULED = frozenset({_NEGATION, _ENTITY})
"""Rules whose doubt gives way where the verifier, which reads closer, finds support."""


class Patterns:
    """Looks at the segments of one draft, in order."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._repeats = Repeats()
        self._told = ""
        self._compact = ""
        self.answer = Answer()
        self.leaked_before = 0
        """Letters and digits of the last leak that earlier segments hold."""

    def composed(self, text: str, names: Sequence[str], private: Sequence[PiiMatch] = ()) -> list[pb.Finding]:
        """What speaks against a composed segment that cites the passages of these names; what keeps it back first.

        `private` will be starred: it is noted, and no fact that would have to be given.
        """
        self.leaked_before = 0
        found = [*self._garbage(text, grave=True), *self._leaks(text), *self._place(text)]
        given = self._draft.given(names)
        shown = text
        for one in private:
            # A star for a letter: places count in characters here.
            hidden = "".join("*" if sign.isalnum() else sign for sign in text[one.start : one.end])
            shown = shown[: one.start] + hidden + shown[one.end :]
        for lack in lacks(shown, given, self._draft.language):
            category = pb.CATEGORY_CITATION_MISMATCH if lack.rule == _CITATION else pb.CATEGORY_UNSUPPORTED
            found.append(finding(lack.rule, category, text=text, start=lack.start, end=lack.end, grave=lack.hard))
        found += [
            finding(rule, pb.CATEGORY_UNSUPPORTED, text=text, start=start, end=end)
            for rule, start, end in persona.claims(text, self._draft.names, self._draft.reviewed)
        ]
        found += [
            finding(
                f"privacy.{one.detector}",
                pb.CATEGORY_SECRET if one.kind in SECRETS else pb.CATEGORY_PII,
                text=text,
                start=one.start,
                end=one.end,
                grave=False,
                score=one.score,
                threshold=0.5,
            )
            for one in private
        ]
        if self.answer.contradicts(text) is not None:
            found.append(finding("contradiction.words", pb.CATEGORY_CONTRADICTION))
        return sorted(found, key=lambda item: -item.severity)[:MAX_FINDINGS]

    def copied(self, text: str) -> list[pb.Finding]:
        """What is noted about an exact copy. Only a canary keeps it back: what else it is, its document is."""
        found = self._garbage(text, grave=False)
        leak = self._draft.protected.canary(text)
        if leak is not None:
            found.append(_leaked(leak, "original"))
        if self.answer.contradicts(text) is not None:
            found.append(finding("contradiction.words", pb.CATEGORY_CONTRADICTION, grave=False))
        return found

    def _garbage(self, text: str, *, grave: bool) -> list[pb.Finding]:
        found = [
            finding(item.rule, pb.CATEGORY_GARBAGE, text=text, start=item.start, end=item.end, grave=grave, score=item.score)
            for item in garbage(text)
        ]
        before = self._repeats.add(text)
        if before and grave:
            found.append(finding("garbage.loop", pb.CATEGORY_GARBAGE, score=float(before)))
        return found

    def _leaks(self, text: str) -> list[pb.Finding]:
        protected = self._draft.protected
        for view in readings(text):
            # What stood before goes on in the original only.
            original = view.text == text
            leak = protected.canary(view.text, self._compact if original else "")
            leak = leak or protected.overlap(view.text, self._told if original else "")
            if leak is not None:
                self.leaked_before = leak.before
                return [_leaked(leak, view.name)]
        return []

    def _place(self, text: str) -> list[pb.Finding]:
        found = []
        share = conversation.foreign(text, self._draft.language)
        if share > conversation.FOREIGN:
            found.append(finding("language.script", pb.CATEGORY_LANGUAGE, score=share, threshold=conversation.FOREIGN))
        echo = conversation.echo(text, self._draft.question)
        if echo >= conversation.ECHO:
            found.append(finding("non_answer.echo", pb.CATEGORY_NON_ANSWER, score=echo, threshold=conversation.ECHO))
        return found

    def released(self, text: str, *, composed: bool) -> None:
        """`text` was released: what comes is read with it."""
        self.answer.add(text)
        if composed:
            self._told = (self._told + told(text.strip()))[-_KEPT:]
            self._compact = (self._compact + compact(text))[-_KEPT:]
        else:
            self._told = self._compact = ""


def _leaked(leak: Leak, view: str) -> pb.Finding:
    return finding(leak.rule, pb.CATEGORY_PROMPT_LEAK, score=float(leak.shared), threshold=float(leak.least), view=view)
