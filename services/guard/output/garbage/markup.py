"""Tags, links and braces that are only half there."""

from __future__ import annotations

import re

from services.guard.output.garbage.found import TAG, Garbage

_ATTRIBUTE = re.compile(r"<[a-z]+\s[^<>]*\b(?:class|id|style|href|src|data-\w+)=[\"'][^<>]*>", re.I)
_HALF_TAG = re.compile(
    r"<(?:/|!--)?[a-z][a-z0-9]*(?:\s+[\w-]+(?:=[\"'][^\"'<>]*[\"']?)?)*\s*$|(?:^|\s)[\w-]+=[\"'][^\"'<>]*[\"']\s*/?>", re.I
)
_WHOLE_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,400}>")
_HALF_LINK = re.compile(r"!?\[[^\[\]\n]{1,200}\]\((?:https?:)?[^)\s]*$")
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|[lr]dquo|[lr]squo|[mn]dash|hellip);")
_JSON = re.compile(
    r"^\s*[\[{]\s*\"(?:role|content|text|answer|message|choices|id)\"\s*:|\"(?:role\"\s*:\s*\"(?:assistant|user|system|tool)\"|(?:content|finish_reason|logprobs)\"\s*:\s*[\"\[{n])",
    re.I,
)
_VOID = frozenset({"br", "hr", "img", "input", "li", "p", "td", "tr", "th"})


def markup(text: str, running: str) -> Garbage | None:
    if '"' in text and _JSON.search(text) and "```" not in text:
        return Garbage("garbage.markup", 0, len(text), 1.0)
    entities = len(_ENTITY.findall(text)) if "&" in text and "`" not in text else 0
    if entities >= 2:
        return Garbage("garbage.markup", 0, len(running), entities / 2)
    if "<" in text and "`" not in text:
        open_: list[str] = []
        loose = size = 0
        for match in TAG.finditer(text):
            name = match.group(2).lower()
            if (name in _VOID and "=" not in match.group()) or match.group().endswith("/>"):
                continue
            size += len(match.group())
            if not match.group(1):
                open_.append(name)
            elif open_ and open_[-1] == name:
                open_.pop()
            else:
                loose += 1
        if loose + len(open_) >= 2 or (loose + len(open_) and (size >= 0.15 * len(text) or _ATTRIBUTE.search(text))):
            return Garbage("garbage.markup", 0, len(text), max(1.0, (loose + len(open_)) / 2))
    half = _HALF_TAG.search(_WHOLE_TAG.sub("x", running)) if "<" in running or "=" in running else None
    half = half or (_HALF_LINK.search(running) if "](" in running else None)
    if half:
        return Garbage("garbage.markup", half.start(), half.end(), 1.0)
    if any(character in running for character in "([{"):
        missing = sum(abs(running.count(a) - running.count(b)) for a, b in ("()", "[]", "{}"))
        if missing >= 4 and missing >= 0.05 * len(running):
            return Garbage("garbage.markup", 0, len(running), missing / 4)
    return None
