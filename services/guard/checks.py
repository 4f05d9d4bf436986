"""What judges by one policy, and how it is put together. Built anew only where something that it depends on has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.classifier.classifier import InjectionClassifier
from services.guard.detection import stand_in
from services.guard.detection.allowed import load_allowed
from services.guard.detection.engines import MakeEngine
from services.guard.detection.matcher import Matcher
from services.guard.detection.rules import LoadedRule, RuleError, load_rules
from services.guard.judge import Judge
from services.guard.policy import Policy, PolicyError
from services.guard.privacy import PiiFinder
from services.guard.question import QuestionCheck
from services.guard.settings import GuardSettings
from services.guard.understanding.classifier import IntentError
from services.guard.understanding.intent_model import InProcess
from services.guard.understanding.intents import SmallTalk
from services.guard.understanding.language import LanguageFinder
from services.guard.understanding.scope import Scope
from services.guard.understanding.sure import Sure
from services.guard.understanding.words import WordVectors
from services.mesh.assistant import Assistant


@dataclass(frozen=True, slots=True)
class Checks:
    """What judges by one policy."""

    policy: Policy
    digest: str
    """SHA-256 of the policy, the rules and the allow-lists: where it is the same, so are the verdicts."""
    judge: Judge
    questions: QuestionCheck
    here: InProcess
    """What this process knows of small talk."""


class CheckBuilder:
    """Builds checks from policies.

    Args:
        settings: where rules and small talk are.
        assistants: by resource name; their names are known names in small talk.
        make_engine: what compiles the rules' expressions; by default nothing waits for it.

    Raises:
        SmallTalkError: a file of small talk is wrong.
        ClassifierError: the classifier's weights cannot be used.
        IntentError: so those of the classifier of small talk.
    """

    def __init__(
        self, settings: GuardSettings, assistants: Mapping[str, Assistant], make_engine: MakeEngine = stand_in.engine
    ) -> None:
        self._settings = settings
        self._make_engine = make_engine
        self._assistants = assistants
        self.languages = LanguageFinder()
        self._finder = PiiFinder()
        self._classifier = InjectionClassifier.load()
        self._words = WordVectors.load()
        self.here = InProcess(Sure.load(self._words))
        self._matchers: dict[str, Matcher] = {}
        self._scopes: dict[str, Scope | IntentError] = {}
        self._built: dict[str, Checks] = {}

    def __call__(self, policy: Policy) -> Checks:
        """What judges by `policy`; the same object as before where nothing has changed.

        Raises:
            RuleError: a rule file is wrong; the message says where.
            PolicyError: its phrases cannot be learnt.
        """
        folders = (self._settings.guard_rules_dir, *policy.rule_folders)
        rules = _digest(_rule_files(folders))
        allowed = _digest(policy.allow_lists)
        digest = hashlib.sha256(f"{policy.digest} {rules} {self._classifier.ref.weights_sha256} {allowed}".encode()).hexdigest()
        known = self._built.get(policy.assistant)
        if known is not None and known.digest == digest:
            return known
        compiled = f"{rules} {allowed}"
        if compiled not in self._matchers:
            words = [item for path in policy.allow_lists for item in load_allowed(path)]
            made = Matcher(_rules(folders), self._settings.cache_dir, words, self._make_engine)
            self._matchers = {compiled: made, **self._still_used()}
        judge = Judge(
            self._matchers[compiled],
            block=policy.block,
            flag=policy.flag,
            classifier=self._classifier,
            question=policy.classifier_question,
            document=policy.classifier_document,
            passing=[category for category, action in policy.actions.items() if action < pb.ACTION_BLOCK],
        )
        names = [item.display_name for item in self._assistants.values()]
        small_talk = SmallTalk(self._settings.guard_small_talk_dir, [*names, *policy.persona_names])
        questions = QuestionCheck(judge, small_talk, self.languages, self._finder, policy, self._scope(policy))
        self._built[policy.assistant] = Checks(policy, digest, judge, questions, self.here)
        return self._built[policy.assistant]

    def _scope(self, policy: Policy) -> Scope | None:
        """What is learnt from the phrases of `policy`; None where it has none. What was learnt or failed before is not tried again.

        Raises:
            PolicyError: it cannot be learnt.
        """
        if not policy.phrases:
            return None
        key = hashlib.sha256(repr(sorted(policy.phrases.items())).encode()).hexdigest()
        if key not in self._scopes:
            found: Scope | IntentError
            try:
                found = Scope.learn(policy.phrases, self._words)
            except IntentError as error:
                found = error
            self._scopes = {key: found, **dict(list(self._scopes.items())[: len(self._assistants)])}
        scope = self._scopes[key]
        if isinstance(scope, IntentError):
            raise PolicyError(f"{policy.source}:1: intents: {scope}")
        return scope

    def _still_used(self) -> dict[str, Matcher]:
        """Of the compiled rules the last few: one set an assistant, most of which are the same."""
        return dict(list(self._matchers.items())[: len(self._assistants)])


def _rule_files(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]


def _digest(files: Iterable[Path]) -> str:
    """SHA-256 of the contents of `files`, in order.

    Raises:
        RuleError: one cannot be read.
    """
    whole = hashlib.sha256()
    for path in files:
        try:
            whole.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise RuleError(f"{path}:1: {error.strerror}") from None
    return whole.hexdigest()


def _rules(folders: Iterable[Path]) -> list[LoadedRule]:
    found: list[LoadedRule] = []
    where: dict[str, str] = {}
    for folder in folders:
        for item in load_rules(folder):
            if item.rule.id in where:
                raise RuleError(f"{item.where}: {item.rule.id} is also at {where[item.rule.id]}")
            where[item.rule.id] = item.where
            found.append(item)
    return found
