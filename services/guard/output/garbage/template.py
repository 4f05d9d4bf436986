"""Places that were to be filled, marks of a model, text of a type specimen."""

from __future__ import annotations

import re

from services.guard.output.garbage.found import Garbage

_MARKS = re.compile(
    r"<\|?(?:unk|pad|mask|bos|eos|sep|cls|s|/s|eot|endoftext|im_start|im_end|extra_id_\d+|reserved[\w-]*)\|?>"
    r"|\[(?:UNK|PAD|MASK|CLS|SEP|BOS|EOS|INST|/INST)\]|(?:^|\s)##[a-z]{2,}\b|[ĠĊ▁]\w"
)
_PLACE = re.compile(
    r"\{\{[^{}\n]{0,80}\}\}|\$\{[\w. ]{1,40}\}|<%[^%\n]{0,80}%>|\{%[^%\n]{0,80}%\}"
    r"|(?<![\w$({\"'^_\\/-])\{[a-z]{2,}(?:_[a-z]+)*\}(?![\w})\"'])"
    r"|\[(?:insert|your|enter|add|placeholder|todo|tbd|fill|name|company|date|address|product"
    r"|answer)(?:[ _-](?!of )[^\[\]\n]{0,60})?\](?!\()"
    r"|\[(?:[^\[\]\n]{0,40}\b(?:einfügen|eintragen|einsetzen|invoegen|invullen)"
    r"|(?:insérer|insertar|inserire|inserir|wstaw|vložte|вставьте|вставить|укажите)\b[^\[\]\n]{0,40})\](?!\()"
    r"|<(?:insert|your|enter|placeholder|answer|name|todo)(?:[ _-][^<>\n]{0,60})?>(?![./\w])"
    r"|(?<![\d%])%(?:\([a-z_]+\))?[sd](?!\w)(?! (?:format|placeholder|specifier|conversion|directive))"
    r"|\blorem ipsum\b|\bdolor sit amet\b|\bconsectetur adipiscing\b|\[object Object\]|\bundefined undefined\b"
    r"|\bnull null\b|\bNaN NaN\b"
    r"|^(?:assistant|user|system|answer|response)\s*:\s*$|\bfoo bar baz\b|_{4,}",
    re.IGNORECASE,
)
_SYNTAX = re.compile(r"\{\{|\$\{|\$\(\w|(?<![\d%])%\(|(?<![\d%])%s\b|\{%|<%")
# Where capitals matter: Spanish has a "todo", and a roman thirty is XXX.
_LEFT = re.compile(r"\b(?:X{4,}|x{4,})\b|(?:^|[.!?]\s+)(?:TODO|FIXME|TBD|TK)\b|\b(?:TODO|FIXME|TBD|TK):|\bNaN\.$|__[A-Z_]{3,40}__")
# What every match has in it, some of it: looked for first, for a text of words has none.
_HINTS = (
    "orem", "olor sit", "XXXX", "xxxx", "TODO", "FIXME", "TBD", "TK", "undefined", "NaN", "null", "foo bar", "ssistant:", "ser:",
    "ystem:", "nswer:", "esponse:",
)  # fmt: skip
# Who writes about a mark sets it in quotation marks.
_QUOTED_MARK = re.compile(r"([\"'])[<\[|]{1,2}/?[\w/]{1,24}[|>\]]{1,2}\1|[“‘„«][<\[|]{1,2}/?[\w/]{1,24}[|>\]]{1,2}[”’“»]")
_FENCED = re.compile(r"```.*?(?:```|$)|`[^`\n]{1,400}`", re.S)


def template(text: str, running: str) -> Garbage | None:
    match = None
    if any(mark in text for mark in "{[<%_$#ĠĊ▁") or any(word in text for word in _HINTS):
        if len({syntax.group()[:2] for syntax in _SYNTAX.finditer(running)}) > 1:
            # Who compares ways to write a place has forgotten none.
            running = ""
        match = _MARKS.search(_QUOTED_MARK.sub("x", _FENCED.sub("x", text))) or _PLACE.search(running) or _LEFT.search(running)
    return Garbage("garbage.template", match.start(), match.end(), 1.0) if match else None
