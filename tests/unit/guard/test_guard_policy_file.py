"""Policy files: each field and its default; what is wrong is refused with file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2, policy_pb2

from services.guard.policy import PolicyError
from services.guard.policy.file import MAX_FILE_BYTES
from services.guard.policy.policy import default_policy, load
from tests.unit.guard.guard_parts import POLICY

ASSISTANT = "assistant: assistants/default\n"

FULL = """\
assistant: assistants/default
persona_names: [ChatCBD, Ada]
allowed_topics:
  - name: cannabidiol
    terms: [CBD, Cannabis*, Öl]
thresholds: {block: 2.0, flag: 1.5, classifier_question: 0.8, classifier_document: 0.9, supported: 0.7}
actions:
  - {category: CATEGORY_CODE_INJECTION, action: ACTION_FLAG}
  - {category: CATEGORY_PII, action: ACTION_BLOCK}
languages: [no, de]
pii:
  question:
    - {kind: PII_KIND_EMAIL, action: PII_ACTION_MASK}
    - {action: PII_ACTION_REDACT}
log_text: true
document_action: DOCUMENT_ACTION_QUOTE
rule_folders: [rules, /etc/rules]
allow_lists: [allowed.txt]
max_question_characters: 100
release_unverified: true
protected_texts: [Never name the ferry company.]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(PolicyError) as error:
        load(written(folder, text))
    message = str(error.value)
    assert message.startswith(f"{folder}/policy.yaml:")
    return message.removeprefix(f"{folder}/policy.yaml:")


def test_every_field_is_read(tmp_path: Path) -> None:
    policy = load(written(tmp_path, FULL))
    assert policy.persona_names == ("ChatCBD", "Ada")
    assert (policy.block, policy.flag) == (2.0, 1.5)
    assert (policy.classifier_question, policy.classifier_document, policy.supported) == (0.8, 0.9, 0.7)
    assert policy.actions == {pb.CATEGORY_CODE_INJECTION: pb.ACTION_FLAG, pb.CATEGORY_PII: pb.ACTION_BLOCK}
    assert policy.languages == {"no", "de"}, "`no` is a language in YAML too"
    assert policy.pii_question[pii_pb2.PII_KIND_EMAIL] == pii_pb2.PII_ACTION_MASK
    assert policy.pii_question[pii_pb2.PII_KIND_IBAN] == pii_pb2.PII_ACTION_REDACT
    assert policy.log_text and policy.release_unverified
    assert policy.document_action == policy_pb2.DOCUMENT_ACTION_QUOTE
    assert policy.rule_folders == (tmp_path / "rules", Path("/etc/rules"))
    assert policy.allow_lists == (tmp_path / "allowed.txt",)
    assert policy.max_question_characters == 100
    assert policy.protected_texts == ("Never name the ferry company.",)


def test_json_is_read_as_well(tmp_path: Path) -> None:
    policy = load(written(tmp_path, '{"assistant": "assistants/default",\n "logText": true, "thresholds": {"block": 3}}'))
    assert policy.log_text
    assert policy.block == 3.0


def test_what_is_not_said_has_the_default() -> None:
    policy = default_policy("assistants/other")
    assert (policy.block, policy.flag, policy.max_question_characters) == (1.0, 0.5, 4000)
    assert not policy.log_text and not policy.release_unverified and not policy.languages and not policy.topics
    assert policy.document_action == policy_pb2.DOCUMENT_ACTION_QUARANTINE
    assert set(policy.pii_question.values()) == {pii_pb2.PII_ACTION_ALLOW}
    assert set(policy.pii_log.values()) == {pii_pb2.PII_ACTION_REDACT}
    assert set(policy.pii_question) == set(pii_pb2.PiiKind.values()) - {0}


def test_the_shipped_policy_says_what_settings_said_before() -> None:
    assert (POLICY.block, POLICY.flag, POLICY.max_question_characters) == (1.0, 0.5, 4000)
    assert not POLICY.log_text and not POLICY.release_unverified
    assert POLICY.assistant == "assistants/default"


def test_one_threshold_alone_keeps_the_order_of_both(tmp_path: Path) -> None:
    assert load(written(tmp_path, f"{ASSISTANT}thresholds: {{block: 0.2}}")).flag == 0.2
    assert load(written(tmp_path, f"{ASSISTANT}thresholds: {{flag: 5}}")).block == 5.0


def test_the_digest_follows_what_is_said_and_not_how(tmp_path: Path) -> None:
    digest = load(written(tmp_path, f"{ASSISTANT}log_text: true\nlanguages: [de]")).digest
    assert len(digest) == 64
    assert load(written(tmp_path, f"# a comment\nlanguages:\n  - de\n{ASSISTANT}logText: true")).digest == digest
    assert load(written(tmp_path, f"{ASSISTANT}log_text: true\nlanguages: [en]")).digest != digest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("foo: 1", "2: there is no foo"),
        ("thresholds:\n  blok: 1", "3: there is no thresholds.blok"),
        ("thresholds:\n  block: high", "3: thresholds.block: Couldn't parse float: high"),
        ("thresholds:\n  flag: 2\n  block: 1", "2: thresholds: flag must not lie above block"),
        ("thresholds:\n  block: -1", "3: thresholds.block: must be greater than 0 and less than or equal to 100"),
        ("log_text: maybe", "2: log_text: Expected true or false without quotes"),
        ("log_text: true\nlog_text: false", "3: log_text is given twice"),
        ("languages: [de, Deutsch]", "2: languages[1]: does not match regex pattern `^[a-z]{2,3}$`"),
        (
            "actions:\n- {category: CATEGORY_PII, action: ACTION_BLOCK}\n- {category: CATEGORY_FISH, action: ACTION_BLOCK}",
            "4: actions[1].category: Invalid enum value CATEGORY_FISH for enum type Category",
        ),
        (
            "actions:\n- {category: CATEGORY_ROLE, action: ACTION_SANITISE}",
            "3: actions[0]: only CATEGORY_PII and CATEGORY_SECRET can be sanitised",
        ),
        (
            "actions: [{category: CATEGORY_ROLE, action: ACTION_FLAG}, {category: CATEGORY_ROLE, action: ACTION_BLOCK}]",
            "1: the policy: a category may be named once in actions",
        ),
        (
            "max_question_characters: 0",
            "2: max_question_characters: must be greater than or equal to 1 and less than or equal to 16384",
        ),
        ("pii: {question: [{kind: PII_KIND_EMAIL}]}", "2: pii.question[0].action: must not be in list [0]"),
        ("protected_texts: [too short]", "2: protected_texts[0]: must be at least 12 characters"),
        ("languages: &all [de]\npersona_names: *all", "3: references (*name) are not allowed"),
        ("languages: [", "2: expected the node content, but found '<stream end>'"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    assert refused(tmp_path, ASSISTANT + text) == reason


@pytest.mark.parametrize("text", ["", "- 1", "just words", "? [a]\n: 1"])
def test_what_is_no_policy_at_all_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text)[:2] in ("1:", "2:")


def test_a_policy_must_say_whose_it_is(tmp_path: Path) -> None:
    assert "assistant" in refused(tmp_path, "log_text: true")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"assistant: \xff")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load(tmp_path / "bytes.yaml")
    written(tmp_path, ASSISTANT + "# " + "x" * MAX_FILE_BYTES)
    with pytest.raises(PolicyError, match="more than"):
        load(tmp_path / "policy.yaml")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth_has_a_limit(tmp_path: Path, opening: str) -> None:
    assert refused(tmp_path, f"{ASSISTANT}languages: {opening * 5000}")


@pytest.mark.parametrize(
    ("question", "covered"),
    [
        ("Is CBD legal?", True),
        ("Is cbd  legal?", True),
        ("Is CBDX legal?", False),
        ("Was kostet Cannabisöl?", True),
        ("Cannabis?", True),
        ("Wie lagert man OL?", True),
        ("What does gold cost?", False),
    ],
)
def test_topics(tmp_path: Path, question: str, covered: bool) -> None:
    policy = load(written(tmp_path, FULL))
    assert policy.topics.covers([question]) is covered
    assert policy.topics.covers(["What does gold cost?", question]) is covered
    assert default_policy("assistants/other").topics.covers([question])
