"""The check of a question: limits, rules, what it is for, in which language, and how the other services should see it.

Pure: text in, result out. Knows no request and no assistant.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ragmesh.evidence.v1.text_pb2 import Intent
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.judge import Judge, Sighting
from services.guard.understanding.intents import SmallTalk
from services.guard.understanding.language import UNKNOWN, LanguageFinder
from services.guard.views.invisible import without_invisible


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    verdict: pb.Verdict
    normalised: str
    """NFC, without control and other invisible characters, trimmed."""
    intent: Intent.ValueType
    language: str
    seen: list[Sighting]


def normalised(text: str) -> str:
    """`text` as the other services should see it."""
    return without_invisible(unicodedata.normalize("NFC", text)).strip()


class QuestionCheck:
    """Checks questions.

    Args:
        judge: the rules.
        small_talk: tells small talk from questions.
        languages: tells languages apart.
        max_characters: a longer question is blocked unread.
    """

    def __init__(self, judge: Judge, small_talk: SmallTalk, languages: LanguageFinder, *, max_characters: int) -> None:
        self._judge = judge
        self._small_talk = small_talk
        self._languages = languages
        self._max_characters = max_characters

    def check(self, text: str) -> Checked:
        """The verdict on `text`, of at most 64 KiB, and what else is understood of it."""
        clean = normalised(text)
        if not any(character.isalnum() for character in clean) and not _speaks(clean):
            return _refused(clean, pb.CATEGORY_MALFORMED)
        if len(text) > self._max_characters:
            return _refused(clean, pb.CATEGORY_TOO_LONG)
        verdict, seen = self._judge.question(text)
        if verdict.action == pb.ACTION_BLOCK:
            return Checked(verdict, clean, Intent.INTENT_QUESTION, self._languages.find(clean), seen)
        intent, language = self._small_talk.find(clean)
        if language == UNKNOWN:
            language = self._languages.find(clean)
        return Checked(verdict, clean, intent, language, seen)


def _speaks(text: str) -> bool:
    """Whether a text without letters and digits still asks: "?" or an emoji does, white space does not."""
    return any(not character.isspace() and unicodedata.category(character)[0] in "PSM" for character in text)


def _refused(clean: str, category: pb.Category.ValueType) -> Checked:
    finding = pb.Finding(category=category, severity=pb.SEVERITY_LOW, view="original")
    verdict = pb.Verdict(action=pb.ACTION_BLOCK, category=category, findings=[finding])
    return Checked(verdict, clean, Intent.INTENT_UNSPECIFIED, UNKNOWN, [])
