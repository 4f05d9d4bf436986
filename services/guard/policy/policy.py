"""A policy in force: every default filled in, every path found, its digest taken. Frozen; made from the message by `resolve`.

Knows no text: what follows from it for a text is decided in `services.guard.ruling`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2, policy_pb2

from services.guard.policy.file import PolicyError, examples, read_policy
from services.guard.policy.topics import Topics

DEFAULT_BLOCK = 1.0
DEFAULT_FLAG = 0.5
DEFAULT_QUESTION_CHARACTERS = 4_000

PiiActions = Mapping[pii_pb2.PiiKind.ValueType, pii_pb2.PiiAction.ValueType]
_KINDS = tuple(kind for kind in pii_pb2.PiiKind.values() if kind != pii_pb2.PII_KIND_UNSPECIFIED)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the guard may do for one assistant."""

    assistant: str
    """`assistants/{a}`."""
    digest: str
    """SHA-256 of the message that it was made from, as 64 hexadecimal digits: verdicts and the security log carry it."""
    source: str
    """The file that it was read from; empty for the defaults."""
    persona_names: tuple[str, ...]
    topics: Topics
    """Words and phrases that a question about an allowed topic holds."""
    closed: bool
    """Whether only the allowed topics, and what the assistant is for, may be asked about."""
    phrases: Mapping[str, tuple[str, ...]]
    """Examples to learn from, by intent, or `topic` and its name; none: nothing is learnt."""
    block: float
    flag: float
    classifier_question: float | None
    """None: the threshold that the model was calibrated for. So for the other two."""
    classifier_document: float | None
    supported: float | None
    actions: Mapping[pb.Category.ValueType, pb.Action.ValueType]
    """Only what the policy names."""
    languages: frozenset[str]
    """Primary tags; empty: every language is served."""
    pii_question: PiiActions
    """An action for each kind that there is. So for the other two."""
    pii_log: PiiActions
    pii_answer: PiiActions
    pii_kept: PiiActions
    """Of questions in what is stored: as in the log, and never less strict than `pii_question`."""
    log_text: bool
    document_action: policy_pb2.DocumentAction.ValueType
    """Never unspecified."""
    rule_folders: tuple[Path, ...]
    allow_lists: tuple[Path, ...]
    max_question_characters: int
    release_unverified: bool
    protected_texts: tuple[str, ...]
    """What answers must not repeat, beside the assistant's persona."""

    @property
    def keeps_less(self) -> bool:
        """Whether questions may hold personal data that is not kept."""
        return any(action != pii_pb2.PII_ACTION_ALLOW for action in self.pii_kept.values())

    @property
    def looks_for_pii(self) -> bool:
        """Whether personal data is looked for in questions at all."""
        return any(action != pii_pb2.PII_ACTION_ALLOW for action in self.pii_question.values()) or any(
            category in self.actions for category in (pb.CATEGORY_PII, pb.CATEGORY_SECRET)
        )


def resolve(message: policy_pb2.GuardPolicy, folder: Path, source: str = "") -> Policy:
    """The policy that `message`, a valid one, stands for.

    Args:
        message: the policy as it was written.
        folder: where its relative paths begin.
        source: the file it was read from.
    """
    thresholds = message.thresholds
    block = thresholds.block if thresholds.HasField("block") else max(DEFAULT_BLOCK, thresholds.flag)
    flag = thresholds.flag if thresholds.HasField("flag") else min(DEFAULT_FLAG, block)
    question = _pii(message.pii.question, pii_pb2.PII_ACTION_ALLOW)
    log = _pii(message.pii.log, pii_pb2.PII_ACTION_REDACT)
    return Policy(
        assistant=message.assistant,
        digest=hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest(),
        source=source,
        persona_names=tuple(message.persona_names),
        topics=Topics.of(message.allowed_topics),
        closed=bool(message.allowed_topics),
        phrases=MappingProxyType(examples(message)),
        block=block,
        flag=flag,
        classifier_question=thresholds.classifier_question if thresholds.HasField("classifier_question") else None,
        classifier_document=thresholds.classifier_document if thresholds.HasField("classifier_document") else None,
        supported=thresholds.supported if thresholds.HasField("supported") else None,
        actions=MappingProxyType({item.category: item.action for item in message.actions}),
        languages=frozenset(message.languages),
        pii_question=question,
        pii_log=log,
        pii_answer=_pii(message.pii.answer, pii_pb2.PII_ACTION_ALLOW),
        pii_kept=MappingProxyType({kind: max(question[kind], log[kind]) for kind in _KINDS}),
        log_text=message.log_text,
        document_action=message.document_action or policy_pb2.DOCUMENT_ACTION_QUARANTINE,
        rule_folders=tuple(folder / name for name in message.rule_folders),
        allow_lists=tuple(folder / name for name in message.allow_lists),
        max_question_characters=(
            message.max_question_characters if message.HasField("max_question_characters") else DEFAULT_QUESTION_CHARACTERS
        ),
        release_unverified=message.release_unverified,
        protected_texts=tuple(message.protected_texts),
    )


def load(path: Path) -> Policy:
    """The policy in `path`.

    Raises:
        PolicyError: something in it is wrong; the message says `file:line: reason`.
    """
    return resolve(read_policy(path), path.parent, str(path))


def default_policy(assistant: str) -> Policy:
    """The policy of an assistant that has no file: every default."""
    return resolve(policy_pb2.GuardPolicy(assistant=assistant), Path())


def _pii(rules: Iterable[policy_pb2.PiiRule], otherwise: pii_pb2.PiiAction.ValueType) -> PiiActions:
    named = {rule.kind: rule.action for rule in rules}
    rest = named.get(pii_pb2.PII_KIND_UNSPECIFIED, otherwise)
    return MappingProxyType({kind: named.get(kind, rest) for kind in _KINDS})


__all__ = ["DEFAULT_BLOCK", "DEFAULT_FLAG", "PiiActions", "Policy", "PolicyError", "default_policy", "load", "resolve"]
