"""Personal data in an answer that stands in none of its evidence: starred, as the policy says, before it is released.

Ranges of claims count in released bytes, so that what is hidden keeps its length: each byte of a letter or a digit becomes a star.
Evidence that holds such data was let in by its owner, and reviewed texts were written by one. Knows one draft.
"""

from __future__ import annotations

from collections.abc import Iterable

from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2

from services.guard import ruling
from services.guard.policy import Policy
from services.guard.privacy import PiiFinder
from services.guard.privacy.masking import starred
from services.guard.privacy.match import SECRETS
from services.mesh.assistant import Assistant


class AnswerPrivacy:
    """Hides personal data in what a draft's check releases.

    Args:
        policy: what is hidden.
        finder: finds it.
        start: the evidence and the language of the draft.
        assistant: whose reviewed texts stay as they are.
    """

    def __init__(self, policy: Policy, finder: PiiFinder, start: pb.CheckOutputStart, assistant: Assistant) -> None:
        self._hidden = {kind for kind, action in policy.pii_answer.items() if action != pii_pb2.PII_ACTION_ALLOW}
        self._finder = finder
        self._language = start.language
        self._evidence = [evidence.text for evidence in start.evidence] if self._hidden else []
        self._reviewed = {text for texts in assistant.templates.values() for text in texts.values()} if self._hidden else set()
        self._found: list[pb.Finding] = []

    def applied(self, answer: pb.CheckOutputResponse) -> pb.CheckOutputResponse:
        """`answer`, changed in place: released text without what is hidden, and the last verdict with what was."""
        if self._hidden and answer.HasField("released"):
            answer.released.text = self._starred(answer.released.text)
        elif answer.HasField("finished"):
            ruling.add(answer.finished.verdict, self._found, pb.ACTION_FLAG)
        return answer

    def _starred(self, text: str) -> str:
        if text.strip() in self._reviewed:
            return text
        hidden = []
        for match in self._finder.find(text, self._language):
            words = text[match.start : match.end]
            if match.kind in self._hidden and not _stands_in(words, self._evidence):
                hidden.append(match)
                category = pb.CATEGORY_SECRET if match.kind in SECRETS else pb.CATEGORY_PII
                found = pb.Finding(
                    rule=f"privacy.{match.detector}", category=category, severity=pb.SEVERITY_MEDIUM, score=match.score
                )
                self._found.append(found)
        return starred(text, hidden)


def _stands_in(words: str, texts: Iterable[str]) -> bool:
    return any(words in text for text in texts)
