"""A policy file as a message: YAML or JSON, read into `GuardPolicy` and checked against the rules beside its fields.

Whatever is wrong is named by file, line and reason. Knows no default and no assistant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import protovalidate
import yaml
from google.protobuf import json_format
from ragmesh.guard.v1.policy_pb2 import GuardPolicy

from services.guard.policy.topics import folded

MAX_FILE_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_PHRASES = 1_500
"""Of all intents and topics together: what is learnt at each change of them must not take long."""
_LEAST_NAMES = 2

# Where json_format says that something is wrong: `Failed to parse actions field: ... at GuardPolicy.actions[0].category.`
_PLACE = re.compile(r"\.* at GuardPolicy\.?([\w.\[\]]*?)\.*$")
_FIELD = re.compile(r"Failed to parse (\w+) field: ")
_UNKNOWN = re.compile(r'has no field named "(\w+)"')
_TAG = "tag:yaml.org,2002:"
_OPENING = (
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)


class PolicyError(ValueError):
    """A policy cannot be used; the message says `file:line: reason`."""


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: `no` is Norwegian and not false, and a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in (f"{_TAG}int", f"{_TAG}float", f"{_TAG}null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile("^(?:true|false)$"), list("tf"))


def read_policy(path: Path) -> GuardPolicy:
    """The policy in `path`.

    Raises:
        PolicyError: it cannot be read, or something in it is wrong.
    """
    lines: dict[str, int] = {}
    content = _read(path, lines)
    policy = GuardPolicy()
    try:
        json_format.ParseDict(content, policy, max_recursion_depth=MAX_DEPTH)
    except json_format.ParseError as error:
        raise _refused(path, lines, str(error)) from None
    try:
        protovalidate.validate(policy)
    except protovalidate.ValidationError as error:
        found = [(_path(violation), violation.proto.message or "breaks a rule") for violation in error.violations]
        reasons = "; ".join(f"{place or 'the policy'}: {reason}" for place, reason in found)
        raise PolicyError(f"{path}:{_line(lines, found[0][0])}: {reasons}") from None
    if wrong := _unlearnable(policy):
        raise PolicyError(f"{path}:{_line(lines, wrong[0])}: {wrong[0]}: {wrong[1]}")
    return policy


def examples(policy: GuardPolicy) -> dict[str, tuple[str, ...]]:
    """The phrases to learn from by what they are for: an intent, or `topic` and its name."""
    found = {item.name: tuple(item.phrases) for item in policy.intents}
    for topic in policy.allowed_topics:
        if topic.phrases:
            name = f"topic {topic.name}"
            found[name] = (*found.get(name, ()), *topic.phrases)
    return found


def _unlearnable(policy: GuardPolicy) -> tuple[str, str] | None:
    """Where the phrases are no examples to learn from, and why."""
    places = [(f"intents[{at}].phrases", item.name, item.phrases) for at, item in enumerate(policy.intents)]
    places += [
        (f"allowed_topics[{at}].phrases", f"topic {item.name}", item.phrases) for at, item in enumerate(policy.allowed_topics)
    ]
    known: dict[str, str] = {}
    for place, name, phrases in places:
        for number, phrase in enumerate(phrases):
            if known.setdefault(folded(phrase), name) != name:
                return f"{place}[{number}]", f"is also a phrase of {known[folded(phrase)]}"
        if len(known) > MAX_PHRASES:
            return place, f"there may be {MAX_PHRASES} phrases in all"
    names = set(known.values())
    if names and len(names) < _LEAST_NAMES:
        place = next(place for place, _, phrases in places if phrases)
        return place, "one alone cannot be told apart: name another one, or out_of_scope in intents, with phrases"
    return None


def _read(path: Path, lines: dict[str, int]) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PolicyError(f"{path}:1: more than {MAX_FILE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        depth = 0
        for token in yaml.scan(text, Loader=_Loader):
            # A name for a part of the file would let few bytes stand for many.
            if isinstance(token, yaml.AliasToken):
                raise PolicyError(f"{path}:{token.start_mark.line + 1}: references (*name) are not allowed")
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if depth > MAX_DEPTH:
                raise PolicyError(f"{path}:{token.start_mark.line + 1}: too deep")
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise PolicyError(f"{path}:1: not a mapping")
        _note_lines(path, node, "", lines)
        content: dict[str, Any] = loader.construct_document(node)
    except OSError as error:
        raise PolicyError(f"{path}:1: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}:1: not UTF-8 (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PolicyError(f"{path}:{line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise PolicyError(f"{path}:1: {error}") from None
    return content


def _note_lines(path: Path, node: yaml.Node, place: str, lines: dict[str, int]) -> None:
    """Note in which line each field stands, under the path that an error names it by."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _note_lines(path, item, f"{place}[{number}]", lines)
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyError(f"{path}:{key.start_mark.line + 1}: a name must be a word")
            if key.value in keys:
                raise PolicyError(f"{path}:{key.start_mark.line + 1}: {key.value} is given twice")
            keys.add(key.value)
            inner = f"{place}.{key.value}" if place else key.value
            lines[inner] = key.start_mark.line + 1
            _note_lines(path, value, inner, lines)


def _line(lines: Mapping[str, int], place: str) -> int:
    """The line of `place`, or of the nearest thing around it that is written."""
    while place and place not in lines:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return lines.get(place, 1)


def _refused(path: Path, lines: Mapping[str, int], message: str) -> PolicyError:
    found = _PLACE.search(message)
    fields = _FIELD.findall(message)
    place = found[1] if found else ".".join(fields)
    reason = _FIELD.sub("", _PLACE.sub("", message)).replace("ragmesh.guard.v1.", "")
    unknown = _UNKNOWN.search(reason)
    if unknown is not None:
        inner = f"{place}.{unknown[1]}" if place else unknown[1]
        return PolicyError(f"{path}:{_line(lines, inner)}: there is no {inner}")
    return PolicyError(f"{path}:{_line(lines, place)}: {place or 'the policy'}: {reason.splitlines()[0].strip()}")


def _path(violation: protovalidate.Violation) -> str:
    field = violation.proto.field
    steps = (
        []
        if field is None
        else [
            f"{element.field_name}[{element.subscript.value}]" if element.subscript is not None else element.field_name
            for element in field.elements
        ]
    )
    return ".".join(steps)
