"""Policies in force: another takes the place of the old one while the guard runs, a bad one does not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.guard.checks import CheckBuilder
from services.guard.policy import Policy, PolicyError, PolicyStore
from services.guard.policy.policy import default_policy
from services.guard.settings import GuardSettings
from services.mesh import telemetry
from tests.unit.gateway.waiting import until
from tests.unit.guard.guard_parts import SETTINGS

SECONDS = 60.0
A, B = "assistants/a", "assistants/b"


@dataclass(frozen=True)
class Built:
    digest: str


def build(policy: Policy) -> Built:
    return BUILT.setdefault(policy.digest, Built(policy.digest))


BUILT: dict[str, Built] = {}


def write(folder: Path, assistant: str, more: str = "") -> None:
    name = assistant.partition("/")[2]
    (folder / f"{name}.yaml").write_text(f"assistant: {assistant}\n{more}\n", encoding="utf-8")


def store(folder: Path) -> PolicyStore[Built]:
    return PolicyStore(folder, (A, B), build)


def test_an_assistant_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    write(tmp_path, A, "log_text: true")
    policies = store(tmp_path)
    assert policies.current(A).log_text
    assert policies.current(B) == default_policy(B)
    assert policies.built(A).digest == policies.current(A).digest
    assert store(tmp_path / "nowhere").current(A) == default_policy(A)
    with pytest.raises(KeyError):
        policies.current("assistants/nobody")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a", "assistant: assistants/nobody", "there is no assistants/nobody"),
        ("a", "assistant: assistants/b", "has a policy already"),
        ("a", "log: 1", "there is no log"),
    ],
)
def test_at_the_start_a_bad_file_is_an_error(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / "0.yaml").write_text("assistant: assistants/b\n")
    (tmp_path / f"{name}.yaml").write_text(f"{text}\n")
    with pytest.raises(PolicyError, match=reason):
        store(tmp_path)


async def test_a_change_is_taken(tmp_path: Path) -> None:
    write(tmp_path, A)
    policies = store(tmp_path)
    write(tmp_path, A, "log_text: true")
    before = policies.built(B)
    assert (await policies.reload()).taken == (A,)
    assert policies.current(A).log_text
    assert policies.built(B) is before
    assert (await policies.reload()).taken == ()


async def test_a_file_that_is_gone_leaves_the_defaults(tmp_path: Path) -> None:
    write(tmp_path, A, "log_text: true")
    policies = store(tmp_path)
    (tmp_path / "a.yaml").unlink()
    assert (await policies.reload()).taken == (A,)
    assert policies.current(A) == default_policy(A)


async def test_a_bad_file_is_refused_counted_and_the_old_policy_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    write(tmp_path, A, "log_text: true")
    policies = store(tmp_path)
    digest = policies.current(A).digest
    write(tmp_path, A, "log_text: true\nlog_txt: true")
    write(tmp_path, B, "log_text: true")
    with structlog.testing.capture_logs() as entries:
        found = await policies.reload()
    assert found.refused == (f"{tmp_path}/a.yaml:3: there is no log_txt",)
    assert found.taken == (B,), "what is right is taken"
    assert policies.current(A).digest == digest
    assert policies.refusals == 1
    (refusal,) = (entry for entry in entries if entry["event"] == "policy.refused")
    assert (refusal["reason"], refusal["log_level"]) == (found.refused[0], "error")
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"ragmesh.guard.policies_taken": 1, "ragmesh.guard.policies_refused": 1}
    write(tmp_path, A)
    assert (await policies.reload()).taken == (A,)


async def test_a_bad_file_that_nobody_touches_is_told_once(tmp_path: Path) -> None:
    policies = store(tmp_path)
    write(tmp_path, A, "log_txt: true")
    with structlog.testing.capture_logs() as entries:
        for _ in range(3):
            assert len((await policies.reload(changed=False)).refused) == 1
        assert policies.refusals == 1
        await policies.reload()
    assert policies.refusals == 2, "it was written again"
    assert sum(entry["event"] == "policy.refused" for entry in entries) == 2


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json"])
def test_a_policy_is_read_whatever_its_file_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f'{{"assistant": "{A}", "log_text": true}}', encoding="utf-8")
    assert store(tmp_path).current(A).log_text


def test_an_allow_list_may_lie_beside_its_policy(tmp_path: Path) -> None:
    write(tmp_path, A, "allow_lists: [words.yaml]")
    listed = "allow: [{rules: [override.ignore_previous], words: forget-me-not, example: Where does the forget-me-not grow?}]"
    (tmp_path / "words.yaml").write_text(listed, encoding="utf-8")
    assert store(tmp_path).current(A).allow_lists == (tmp_path / "words.yaml",)


async def test_a_file_that_changes_is_seen_without_being_asked(tmp_path: Path) -> None:
    folder = tmp_path / "guard"
    policies = PolicyStore(folder, (A, B), build, look_seconds=0.5)
    watching = asyncio.create_task(policies.watch())
    try:
        folder.mkdir()
        write(folder, A, "log_text: true")
        await until(lambda: policies.current(A).log_text, "the policy is taken", SECONDS)
        write(folder, A, "log_text: 7")
        await until(lambda: policies.refusals > 0, "the policy is refused", SECONDS)
        assert policies.current(A).log_text
        write(folder, A, "languages: [de]")
        await until(lambda: policies.current(A).languages == {"de"}, "the policy is taken", SECONDS)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def test_checks_are_built_anew_only_where_something_changed(tmp_path: Path) -> None:
    folder, shipped = tmp_path / "rules", tmp_path / "shipped"
    for made in (folder, shipped):
        made.mkdir()
    markup = (SETTINGS.guard_rules_dir / "markup.yaml").read_text(encoding="utf-8")
    (shipped / "markup.yaml").write_text(markup, encoding="utf-8")
    rule = markup.replace("id: markup.", "id: own.")
    (folder / "own.yaml").write_text(rule, encoding="utf-8")
    settings = GuardSettings(
        assistant_dir=SETTINGS.assistant_dir, guard_rules_dir=shipped, data_dir=tmp_path, guard_cache_dir=tmp_path / "cache"
    )
    builder = CheckBuilder(settings, {})
    write(tmp_path, A, "rule_folders: [rules]")
    policies = PolicyStore(tmp_path, (A, B), builder)
    first = policies.built(A)
    assert policies.built(B).digest != first.digest
    assert builder(policies.current(A)) is first
    (folder / "own.yaml").write_text(f"# changed\n{rule}", encoding="utf-8")
    second = builder(policies.current(A))
    assert second.digest != first.digest
    assert second.policy.digest == first.policy.digest
    (folder / "own.yaml").write_text("category: nonsense\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"own\.yaml:1"):
        builder(policies.current(A))
