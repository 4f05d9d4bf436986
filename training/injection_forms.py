"""The forms that attacks come in: inside an application's prompt, inside a document, behind other words, with an optimised suffix.

Takes texts, gives texts. Knows neither data sets nor the network.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

_PHRASES: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_TASKS, _BOTS, _SIGNS, _CODE, REPORTS = (_PHRASES[name] for name in ("tasks", "bots", "signs", "code", "reports"))
_ASCII = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_MARKS = ("\n", "\n\n", " ", "\nInput: ", "\n\nText: ", "\n### Input:\n", "\nUser: ", ": ", "\n---\n", '\n"', "\nQuestion: ")


_ANSWERS = (
    "Done.",
    "Sure, here it is.",
    "The text is positive.",
    "Okay.",
    "Summary: see above.",
    "Yes.",
    "I have finished the task.",
)
_STEPS = (
    *(
        "Install",
        "Open",
        "Check",
        "Configure",
        "Remove",
        "Clean",
        "Use",
        "Write",
        "Set up",
        "Run",
        "Add",
        "Replace",
        "Contact",
        "Store",
    ),
    *(
        "Ignore",
        "Press",
        "Turn off",
        "Reset",
        "Choose",
        "Send",
        "Report",
        "Keep",
        "Do not open",
        "Never touch",
        "Always wear",
        "Read",
    ),
)
TURNS = (
    ("### Response:", "### Instruction:"),
    ("### Output:", "### Instruction:"),
    ("### Assistant:", "### Human:"),
    ("### Answer", "### New question"),
    ("Output:", "Input:"),
    ("Bot:", "Human:"),
    ("AI:", "Next task:"),
    ("[/INST]", "[INST]"),
    ("<|assistant|>", "<|user|>"),
    ("<|im_start|>assistant", "<|im_start|>user"),
    ("**Answer:**", "**Instruction:**"),
    ("--- answer ---", "--- task ---"),
    ("[RESPONSE]", "[INSTRUCTION]"),
    ("==== RESPONSE ====", "==== NEW INSTRUCTION ===="),
    ("### response:", "### instruction:"),
    ("## Answer", "## Task"),
    ("Response:", "Instruction:"),
    ("Assistant:", "User:"),
    ("A:", "Q:"),
    ("[MARK] [RESP][COLN]", "[MARK] [INST][COLN]"),
    ("<response>", "<instruction>"),
)


def suffix(rng: random.Random, words: Sequence[str]) -> str:
    """What a search over tokens ends with: pieces of words, signs and code without a sense. GCG's, or a random search's."""
    n = rng.randint(10, 40)
    draw = rng.random()
    if draw < 0.12:
        # A search that began with exclamation marks and changed some.
        sign = rng.choice("!!!!?.x*")
        share = rng.random() * 0.8 + 0.1
        return rng.choice((" ", "")).join(sign if rng.random() < share else _piece(rng, words) for _ in range(n))
    if draw < 0.22:
        # Letters and signs one by one.
        signs = rng.choice((_ASCII, _ASCII[:26] + "!@#$%^&*()[]{};:,./", "!@#$%^&*()_+-=[]{}|;':,./<>?~`"))
        return "".join(rng.choice(signs) for _ in range(rng.randint(24, 120)))
    if draw < 0.32:
        # Words alone, in no order.
        return " ".join(_piece(rng, words) for _ in range(n))
    glue = rng.choice((0.1, 0.25, 0.4, 0.6, 0.8))
    signed = rng.choice((0.15, 0.25, 0.35, 0.5))
    out = ""
    for _ in range(n):
        token = rng.choice(_SIGNS) if rng.random() < signed else _piece(rng, words)
        out += ("" if rng.random() < glue else " ") + token
    return out.strip()


_MARKUP = ("](", "**", ".\\", "\\+", "={{", "}}", "--", '"\\!--', "/**", "${", "[[", "]]", "(*", "~~", "<!--", "::", "//", "|>",
           "#{", "\\n", "@@", ";;", "()", "''", "<?", "\\(", "%%", "->", "___", "++", "??", "!", "...", "~", "^")  # fmt: skip


def soup(rng: random.Random, words: Sequence[str]) -> str:
    """A search's tokens as they stand in text: words that run into each other, with markup and code between them."""
    out, draw = "", rng.random()
    joined, marked = (0.3, 0.3) if draw < 0.5 else (0.7, 0.25) if draw < 0.8 else (0.1, 0.6)
    for _ in range(rng.randint(12, 36)):
        kind = rng.random()
        token = rng.choice(_MARKUP) if kind < marked else rng.choice(_SIGNS) if kind < marked + 0.1 else _piece(rng, words)
        if kind > 0.93:
            token = rng.choice(words).lower() + rng.choice(words).capitalize()
        out += ("" if rng.random() < joined else " ") + token
    return out.strip()


def _piece(rng: random.Random, words: Sequence[str]) -> str:
    word = rng.choice(_CODE) if rng.random() < 0.3 else rng.choice(words)
    if rng.random() < 0.5 and len(word) > 4:
        at = rng.randint(2, len(word) - 1)
        word = word[:at] if rng.random() < 0.5 else word[at:]
    form = rng.random()
    return word.capitalize() if form < 0.2 else word.upper() if form < 0.26 else word


def application(rng: random.Random, passages: Sequence[str], questions: Sequence[str], injected: str | None) -> str:
    """An application's prompt with a user's or a document's text in it, and the injection, if there is one, in that text."""
    if rng.random() < 0.5:
        head, body = rng.choice(_TASKS), _cut(rng, rng.choice(passages))
    else:
        head, body = rng.choice(_BOTS), rng.choice(questions)
    if injected is not None:
        place = rng.random()
        glue = rng.choice((" ", "\n", "\n\n", ". ", ".\n", '"\n', " --- ", '". '))
        if place < 0.62:
            body = body + glue + injected
        elif place < 0.82:
            body = injected + rng.choice((" ", "\n", "")) if rng.random() < 0.7 else injected + glue + body
        else:
            parts = re.split(r"(?<=[.!?]) ", body)
            parts.insert(rng.randint(0, len(parts)), injected)
            body = " ".join(parts)
    mark = rng.choice(_MARKS)
    return head + mark + body + ('"' if mark.endswith('"') else "")


def task(rng: random.Random) -> str:
    """What an application asks for."""
    return rng.choice(_TASKS) if rng.random() < 0.7 else rng.choice(_BOTS)


def _cut(rng: random.Random, passage: str, most: int = 6) -> str:
    parts = re.split(r"(?<=[.!?]) ", passage)
    first = rng.randint(0, max(len(parts) - 2, 0))
    return " ".join(parts[first : first + rng.randint(1, most)])[:1_500]


def completed(rng: random.Random, order: str) -> str:
    """An answer that was never given, and the next instruction."""
    answer = rng.choice(_ANSWERS)
    head, ask = rng.choice(TURNS)
    if rng.random() < 0.3:
        head, ask = head.lower(), ask.lower()
    line, gap = rng.choice(("\n", "\n", " ")), rng.choice(("\n\n", "\n\n", "\n", " "))
    return f"{head}{line}{answer}{gap}{ask}{line}{order}"


def around(rng: random.Random, attack: str, honest: str) -> str:
    """An attack behind or before honest words."""
    glue = rng.choice((" ", "\n", ". ", "\n\n", " - "))
    return honest + glue + attack if rng.random() < 0.6 else attack + glue + honest


def mail(rng: random.Random, sentences: Sequence[str]) -> str:
    """Sentences as a mail."""
    names = ("Anna", "Mr. Brown", "team", "Peter", "Ms. Lopez", "all", "Jordan", "Dr. Meyer", "colleagues")
    subjects = (
        "Meeting on Tuesday",
        "Your order",
        "Invoice 2217",
        "Re: contract",
        "Question",
        "Update",
        "Travel plans",
        "Welcome",
        "Report",
        "Receipt",
    )
    sender = f"{rng.choice(('info', 'sales', 'no-reply', 'j.smith'))}@{rng.choice(('mail', 'shop', 'office'))}.example"
    head = f"Subject: {rng.choice(subjects)}\nFrom: {sender}\n\n{rng.choice(('Dear', 'Hi', 'Hello'))} {rng.choice(names)},\n"
    return f"{head}{' '.join(sentences)}\n{rng.choice(('Best regards', 'Kind regards', 'Thanks', 'Best'))},\n{rng.choice(names)}"


def page(
    rng: random.Random, sentences: Sequence[str], titles: Sequence[str], words: Sequence[str], questions: Sequence[str]
) -> str:
    """Sentences as a Markdown page: front matter, headings, lists, a table, steps for the reader, questions that are answered."""
    lines: list[str] = []
    if rng.random() < 0.4:
        lines += ["---", f"title: {rng.choice(titles)}", f"lang: {rng.choice(('en', 'de', 'fr'))}", "tags: [a, b]", "---", ""]
    lines.append(f"# {rng.choice(titles)}")
    rest = list(sentences)
    while rest and len(lines) < 40:
        draw = rng.random()
        if draw < 0.35:
            lines += ["", f"{rng.choice(('##', '##', '###', '####'))} {_heading(rng, titles, words)}", ""]
        if draw < 0.5:
            lines += [f"{rng.choice(('-', '*', '1.'))} {rest.pop(0)}" for _ in range(min(3, len(rest)))]
        elif draw < 0.58:
            lines += ["", *table(rng, words), ""]
        elif draw < 0.66:
            step = f"{rng.choice(_STEPS)} the {rng.choice(words).lower()}"
            lines += [
                f"{rng.choice(('1.', '2.', '-', ''))} {step} {rng.choice(('before use.', 'and wait.', 'first.', 'in the menu.'))}"
            ]
        elif draw < 0.72:
            lines += ["", f"**{rng.choice(questions)}**", ""]
        elif draw < 0.76:
            lines += ["```", f"{rng.choice(words).lower()} --{rng.choice(words).lower()} {rng.randint(1, 99)}", "```"]
        else:
            lines.append(" ".join(rest.pop(0) for _ in range(min(rng.randint(1, 4), len(rest)))))
    return "\n".join(lines)


def _heading(rng: random.Random, titles: Sequence[str], words: Sequence[str]) -> str:
    return rng.choice(
        (
            rng.choice(titles),
            f"{rng.choice(_STEPS)} {rng.choice(words).lower()}",
            f"How to {rng.choice(_STEPS).lower()} the {rng.choice(words).lower()}",
            f"{rng.randint(1, 9)}.{rng.randint(1, 9)} {rng.choice(words).title()}",
            f"{rng.choice(words).title()} and {rng.choice(words).lower()}",
            f"What is {rng.choice(words).lower()}?",
        )
    )


def table(rng: random.Random, words: Sequence[str]) -> list[str]:
    """Lines of a table."""
    columns = [rng.choice(words) for _ in range(rng.randint(3, 6))]
    rows = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)] if rng.random() < 0.5 else ["\t".join(columns)]
    bar = rows[0].startswith("|")
    for _ in range(rng.randint(4, 14)):
        cells = [_cell(rng, words) for _ in columns]
        rows.append("| " + " | ".join(cells) + " |" if bar else "\t".join(cells))
    return rows


def _cell(rng: random.Random, words: Sequence[str]) -> str:
    date = f"{rng.randint(1900, 2024)}-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}"
    number, share = str(rng.randint(1, 9_999)), f"{rng.random() * 100:.1f}%"
    return rng.choice((number, rng.choice(words).capitalize(), share, date, f"{rng.choice(words)} {rng.choice(words)}"))
