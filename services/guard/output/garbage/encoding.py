"""Bytes read in the wrong encoding, signs for what could not be read, scripts mixed inside words."""

from __future__ import annotations

import re

from services.guard.output.garbage.found import ADDRESS, Garbage

_HIGH = re.compile(
    r"[\u0080-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]{2,}"
)
_CYRILLIC_RUN = re.compile(r"[\u0400-\u04ff\u00a0-\u00bf\u2018-\u2026\u2030\u2039\u203a\u20ac\u2116\u2122]{4,}")
_EXPECTED = re.compile(
    r"[\u00a0-\u024f\u0370-\u052f\u2010-\u2044\u20a0-\u20bf\u2100-\u2122\u2190-\u21ff\u3000-\u9fff\U0001f300-\U0001faff]+"
)
_SIGNS_OF_LOSS = re.compile(
    r"(?<=\w)\?+(?=[^\W\d_])|(?<!\S)\?+(?=[^\W\d_])|&#x?[0-9a-f]{2,6};|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|=[CE][0-9A-F](?:=[89AB][0-9A-F])",
    re.I,
)
_TWO_SCRIPTS = re.compile(r"\b(?=\w*[A-Za-z])(?=\w*[\u0400-\u04ff])[A-Za-z\u0400-\u04ff]{3,}\b")
_SCRIPTS = tuple(
    re.compile(f"[{letters}]")
    for letters in (
        "A-Za-z\u00c0-\u024f", "\u0370-\u03ff", "\u0400-\u052f", "\u0530-\u05ff", "\u0600-\u077f", "\u0900-\u0dff", "\u0e00-\u0fff",
        "\u1000-\u1fff", "\u3040-\u30ff", "\u3400-\u9fff", "\uac00-\ud7af",
    )
)  # fmt: skip


def _as_bytes(text: str) -> bytes | None:
    found = bytearray()
    for character in text:
        try:
            found += character.encode("cp1252")
        except UnicodeEncodeError:
            if ord(character) > 0xFF:
                return None
            found.append(ord(character))
    return bytes(found)


def _misread(text: str) -> re.Match[str] | None:
    """A run of characters that are the bytes of others: UTF-8 read as Windows-1252 or as Windows-1251."""
    for match in _HIGH.finditer(text):
        data = _as_bytes(match.group())
        for cut in (slice(None), slice(1, None), slice(0, -1)):
            try:
                meant = data[cut].decode() if data else ""
            except UnicodeDecodeError:
                continue
            if meant and _EXPECTED.fullmatch(meant) and len(meant) < len(match.group()[cut]):
                return match
    for match in _CYRILLIC_RUN.finditer(text):
        try:
            meant = match.group().encode("cp1251").decode()
        except UnicodeError:
            continue
        if len(meant) >= 2:
            return match
    return None


def encoding(text: str, running: str) -> Garbage | None:
    suspect = "?" in running or "&#" in running or "\\" in running or "=" in running
    lost = _SIGNS_OF_LOSS.findall(ADDRESS.sub(" ", running)) if suspect else []
    if "\ufffd" in text or len(lost) >= 3:
        at = max(text.find("\ufffd"), 0)
        return Garbage("garbage.encoding", at, at + 1, 1.0 + len(lost) / 10)
    if text.isascii():
        return None
    match = _misread(text)
    if match:
        return Garbage("garbage.encoding", match.start(), match.end(), 1.0)
    mixed = _TWO_SCRIPTS.findall(running)
    words = len(running.split())
    if len(mixed) >= 2 and len(mixed) >= 0.15 * words:
        return Garbage("garbage.encoding", 0, len(running), 1.0)
    if words > 4 * len(_SCRIPTS):
        return None
    letters = "".join(set(running))
    scripts = sum(pattern.search(letters) is not None for pattern in _SCRIPTS)
    if scripts >= 4 and scripts >= 0.25 * words:
        return Garbage("garbage.encoding", 0, len(running), scripts / 4)
    return None
