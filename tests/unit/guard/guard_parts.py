"""The guard's parts over the shipped rules, built once a test run: compiling the rules takes seconds."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from services.guard.classifier.classifier import InjectionClassifier
from services.guard.detection.matcher import Matcher
from services.guard.detection.rules import LoadedRule, load_rules
from services.guard.judge import Judge
from services.guard.policy.policy import load
from services.guard.privacy import PiiFinder
from services.guard.question import QuestionCheck
from services.guard.settings import GuardSettings
from services.guard.understanding.intents import SmallTalk
from services.guard.understanding.language import LanguageFinder
from services.guard.understanding.sure import Sure
from services.guard.understanding.words import WordVectors

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = GuardSettings(assistant_dir=ROOT / "corpus" / "assistants")
POLICY = load(SETTINGS.policy_dir / "default.yaml")
"""The shipped policy of the default assistant."""


@cache
def rules() -> tuple[LoadedRule, ...]:
    return tuple(load_rules(SETTINGS.guard_rules_dir))


@cache
def matcher() -> Matcher:
    # Compiled rules are kept between runs: named by what went into them, they are never old.
    return Matcher(rules(), Path(tempfile.gettempdir()) / "ragmesh-test-rules")


@cache
def classifier() -> InjectionClassifier:
    return InjectionClassifier.load()


@cache
def judge() -> Judge:
    return Judge(matcher(), block=POLICY.block, flag=POLICY.flag, classifier=classifier())


@cache
def small_talk() -> SmallTalk:
    return SmallTalk(SETTINGS.guard_small_talk_dir, ["ChatCBD"])


@cache
def languages() -> LanguageFinder:
    return LanguageFinder()


@cache
def words() -> WordVectors:
    return WordVectors.load()


@cache
def sure() -> Sure:
    return Sure.load(words())


@cache
def questions() -> QuestionCheck:
    return QuestionCheck(judge(), small_talk(), languages(), PiiFinder(), POLICY)


@cache
def goldens() -> tuple[dict[str, Any], ...]:
    """All golden questions."""
    files = sorted((ROOT / "goldens").glob("chatcbd-*.jsonl"))
    return tuple(json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines())
