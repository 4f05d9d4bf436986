"""The check of a question: limits, rules, policy, personal data, what it is for, and how the other services should see it.

Pure: text in, result out. Knows one policy; no request and no log.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ragmesh.evidence.v1.text_pb2 import Intent, TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2

from services.guard import privacy, ruling
from services.guard.judge import Judge, Sighting
from services.guard.policy import Policy
from services.guard.privacy import LEAST_SCORE, PiiFinder, PiiMatch, apply, find_in_turns
from services.guard.privacy.match import SECRETS
from services.guard.provenance import digest_of, short
from services.guard.understanding.classifier import OUT_OF_SCOPE
from services.guard.understanding.intents import SmallTalk
from services.guard.understanding.language import UNKNOWN, LanguageFinder
from services.guard.understanding.scope import Scope
from services.guard.understanding.sure import Guess
from services.guard.views.invisible import without_invisible

MAX_PII = 256
_PRIVACY = Path(privacy.__file__).parent
_TURNS = 3
"""Turns before, of the same person, that an attack is looked for across."""
_TURNS_CHARACTERS = 4_000
_UNREAD_KEPT = 4_000
"""Characters of a question that is refused unread, where no personal data may be kept: they are looked through for it."""
# What asks for something, and so has a topic.
_ASKING = frozenset({Intent.INTENT_UNSPECIFIED, Intent.INTENT_QUESTION, Intent.INTENT_OUT_OF_SCOPE})


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    verdict: pb.Verdict
    normalised: str
    """NFC, without control and other invisible characters, trimmed; personal data as the policy has it."""
    intent: Intent.ValueType
    language: str
    seen: list[Sighting]
    pii: list[pii_pb2.PiiFinding] = field(default_factory=list)
    kept: str | None = None
    """What may be stored of it, where that is not all of it."""
    guess: Guess | None = None
    """What it was taken to be for by the policy's own intents and topics, where there are such."""

    @property
    def refused(self) -> bool:
        """Whether the question may not be asked."""
        return self.verdict.action == pb.ACTION_BLOCK


def normalised(text: str) -> str:
    """`text` as the other services should see it."""
    return without_invisible(unicodedata.normalize("NFC", text)).strip()


class QuestionCheck:
    """Checks questions.

    Args:
        judge: the rules.
        small_talk: tells small talk from questions.
        languages: tells languages apart.
        finder: finds personal data.
        policy: what is done with what is found.
        scope: what was learnt from the phrases of `policy`, where it has some.
    """

    def __init__(
        self,
        judge: Judge,
        small_talk: SmallTalk,
        languages: LanguageFinder,
        finder: PiiFinder,
        policy: Policy,
        scope: Scope | None = None,
    ) -> None:
        self._judge = judge
        self._small_talk = small_talk
        self._languages = languages
        self._finder = finder
        self._policy = policy
        self._scope = scope
        # What a policy says of each kind of personal data, summed up once: it does not change.
        self._changes, self._keeps_less = policy.looks_for_pii, policy.keeps_less

    def check(self, text: str, history: Sequence[str] = ()) -> Checked:
        """The verdict on `text`, of at most 64 KiB, and what else is understood of it.

        Args:
            text: the question.
            history: what the same person said before, oldest first.
        """
        clean = normalised(text)
        if not any(character.isalnum() for character in clean) and not _speaks(clean):
            return self._refused(clean, pb.CATEGORY_MALFORMED)
        if len(text) > self._policy.max_question_characters:
            return replace(self._refused(clean, pb.CATEGORY_TOO_LONG), kept=self._beginning(clean))
        verdict, seen = self._judged(text, history)
        if verdict.action == pb.ACTION_BLOCK:
            found = Checked(verdict, clean, Intent.INTENT_QUESTION, self._languages.find(clean), seen)
        else:
            intent, language = self._small_talk.find(clean)
            found = Checked(verdict, clean, intent, self._languages.find(clean) if language == UNKNOWN else language, seen)
        if not (self._changes or self._keeps_less):
            return found
        # A number may be told in two turns.
        matches = find_in_turns(self._finder, (*history[-1:], clean), found.language)[-1]
        if not matches:
            return found
        kept = apply(clean, matches, self._policy.pii_kept).text
        whole = replace(found, kept=kept if kept != clean else None)
        return whole if found.refused or not self._changes else self._without_pii(whole, text, matches)

    def _beginning(self, clean: str) -> str | None:
        """What may be kept of a question that nobody read: as much as can be looked through, up to the end of a word."""
        if not self._keeps_less:
            return None
        start = clean[:_UNREAD_KEPT]
        words = start if len(start) == len(clean) else start[: max(map(start.rfind, (" ", "\n"))) + 1] + "…"
        return apply(words, self._finder.find(words), self._policy.pii_kept).text

    def place(self, found: Checked, intent: Intent.ValueType, history: Sequence[str] = ()) -> Checked:
        """`found` with `intent`, refused where the policy does not serve its topic or its language."""
        policy, verdict, guess = self._policy, found.verdict, None
        if intent in _ASKING and not found.refused:
            if policy.languages and found.language != UNKNOWN and found.language.partition("-")[0] not in policy.languages:
                _add_reason(verdict, policy, pb.CATEGORY_LANGUAGE)
            inside, guess = self._placed(found.normalised, history, intent)
            if not inside and guess is not None:
                intent = Intent.INTENT_OUT_OF_SCOPE
            if not inside and (policy.closed or pb.CATEGORY_OFF_TOPIC in policy.actions):
                _add_reason(verdict, policy, pb.CATEGORY_OFF_TOPIC)
        return replace(found, intent=intent, guess=guess)

    def _placed(self, text: str, history: Sequence[str], intent: Intent.ValueType) -> tuple[bool, Guess | None]:
        """Whether the assistant is for `text`: by a word of a topic, or by what was learnt. What follows a question is about it."""
        guess = self._scope.understand(text) if self._scope is not None else None
        if self._policy.topics and self._policy.topics.covers((text, *history[-1:])):
            return True, guess
        if self._scope is None or guess is None:
            return not self._policy.topics and intent != Intent.INTENT_OUT_OF_SCOPE, None
        return guess.intent != OUT_OF_SCOPE or any(map(self._scope.covers, history[-1:])), guess

    def _judged(self, text: str, history: Sequence[str]) -> tuple[pb.Verdict, list[Sighting]]:
        """The verdict on `text`; where it passes alone, on what it completes of the turns before."""
        verdict, seen = self._judge.question(text)
        verdict = ruling.ruled(verdict, self._policy, sums=True)
        before = " ".join(history[-_TURNS:])[-_TURNS_CHARACTERS:]
        if verdict.action == pb.ACTION_BLOCK or not before:
            return verdict, seen
        joined, together = self._judge.question(f"{before} {text}")
        joined = ruling.ruled(joined, self._policy, sums=True)
        if joined.action != pb.ACTION_BLOCK:
            return verdict, seen
        # What was refused before is no reason to refuse everything that is asked after it.
        alone, _ = self._judge.question(before)
        if ruling.ruled(alone, self._policy, sums=True).action == pb.ACTION_BLOCK:
            return verdict, seen
        for finding in joined.findings:
            finding.view = f"turns.{finding.view}"
        return joined, together

    def _without_pii(self, found: Checked, text: str, matches: Sequence[PiiMatch]) -> Checked:
        policy, verdict = self._policy, found.verdict
        redacted = apply(found.normalised, matches, policy.pii_question)
        for category in (pb.CATEGORY_SECRET, pb.CATEGORY_PII):
            kinds = [match for match in matches if (match.kind in SECRETS) == (category == pb.CATEGORY_SECRET)]
            changed = any(policy.pii_question[match.kind] != pii_pb2.PII_ACTION_ALLOW for match in kinds)
            action = policy.actions.get(category, pb.ACTION_SANITISE if changed else pb.ACTION_ALLOW)
            ruling.add(verdict, [_finding(found.normalised, match, category) for match in kinds], action)
        if redacted.text != found.normalised and verdict.action != pb.ACTION_BLOCK:
            verdict.action = pb.ACTION_SANITISE
            verdict.category = verdict.category or pb.CATEGORY_PII
            verdict.sanitised = redacted.text
        elif verdict.action == pb.ACTION_SANITISE:
            # There was nothing to change: it is only worth noting.
            verdict.action = pb.ACTION_FLAG
        told = matches if text == found.normalised else self._finder.find(text, found.language)
        pii = [
            pii_pb2.PiiFinding(kind=match.kind, range=_range(text, match), action=policy.pii_question[match.kind])
            for match in told[:MAX_PII]
        ]
        return replace(found, normalised=redacted.text, pii=pii)

    def _refused(self, clean: str, category: pb.Category.ValueType) -> Checked:
        finding = pb.Finding(
            rule=f"limits.{short(pb.Category.Name(category))}",
            category=category,
            severity=pb.SEVERITY_LOW,
            view="original",
            score=1,
            threshold=1,
            digest=self._policy.digest,
        )
        verdict = pb.Verdict(action=pb.ACTION_BLOCK, category=category, findings=[finding], policy_digest=self._policy.digest)
        return Checked(verdict, clean, Intent.INTENT_UNSPECIFIED, UNKNOWN, [])


def _speaks(text: str) -> bool:
    """Whether a text without letters and digits still asks: "?" or an emoji does, white space does not."""
    return any(not character.isspace() and unicodedata.category(character)[0] in "PSM" for character in text)


def _add_reason(verdict: pb.Verdict, policy: Policy, category: pb.Category.ValueType) -> None:
    name = f"policy.{short(pb.Category.Name(category))}"
    finding = pb.Finding(rule=name, category=category, view="original", score=1, threshold=1, digest=policy.digest)
    ruling.add(verdict, [finding], policy.actions.get(category, pb.ACTION_BLOCK))


def _range(text: str, match: PiiMatch) -> TextRange:
    start = len(text[: match.start].encode("utf-8", "replace"))
    return TextRange(start=start, end=start + len(text[match.start : match.end].encode("utf-8", "replace")))


def _finding(text: str, match: PiiMatch, category: pb.Category.ValueType) -> pb.Finding:
    return pb.Finding(
        rule=f"privacy.{match.detector}",
        category=category,
        severity=pb.SEVERITY_LOW,
        range=_range(text, match),
        view="normalised",
        score=match.score,
        threshold=LEAST_SCORE,
        digest=digest_of(_PRIVACY),
    )
