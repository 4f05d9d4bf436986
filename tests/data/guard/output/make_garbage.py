"""Writes `garbage.jsonl`: texts that are no answers, made from sentences of `awkward.jsonl` and of corpus/ by breaking them.

    python tests/data/guard/output/make_garbage.py

A row is {text, label: "garbage", kind}. Same seed, same file.
"""

from __future__ import annotations

import html
import json
import random
import re
import string
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
SEED = 6
EACH = 40
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщыьэюя"
_LOOKALIKES = str.maketrans("aeopcxyABEKMHOPCTX", "аеорсхуАВЕКМНОРСТХ")
_PLACES = [
    "{{answer}}",
    "{name}",
    "[INSERT DOSE]",
    "${value}",
    "[Your Name]",
    "<INSERT SOURCE>",
    "%s",
    "__PLACEHOLDER__",
    "{{ user.name }}",
    "[date]",
]
_MARKS = ["<unk>", "[PAD]", "</s>", "<|endoftext|>", "[MASK]", "<pad>", "<s>", "[UNK]"]


def _sentences() -> list[str]:
    found = []
    for path in sorted((ROOT / "corpus").rglob("*.md")):
        body = path.read_text(encoding="utf-8").split("---", 2)[-1]
        for line in body.splitlines():
            if line and line[0].isalpha():
                found += [one for one in re.split(r"(?<=[.!?])\s+", line) if 6 <= len(one.split()) <= 30]
    return found


def _accented() -> list[str]:
    rows = [json.loads(line) for line in (HERE / "awkward.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        row["text"]
        for row in rows
        if row["kind"] in ("german", "french", "czech", "polish", "turkish") and sum(c > "\x7f" for c in row["text"]) >= 3
    ]


def _russian() -> list[str]:
    rows = [json.loads(line) for line in (HERE / "awkward.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows if row["kind"] == "russian"]


Maker = Callable[[random.Random, list[str]], str]


def _one(rng: random.Random, texts: list[str]) -> str:
    return rng.choice(texts)


def character_run(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()
    at = rng.randrange(1, len(words))
    return " ".join([*words[:at], rng.choice(string.ascii_lowercase) * rng.randint(15, 120)])


def group_run(rng: random.Random, texts: list[str]) -> str:
    return (
        _one(rng, texts).split()[0] + " " + "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 4))) * rng.randint(8, 40)
    )


def word_run(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()
    at = rng.randrange(1, len(words))
    return " ".join([*words[:at], *[words[at - 1].strip(".,")] * rng.randint(6, 60)])


def phrase_loop(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()
    size = rng.randint(2, min(7, len(words) - 1))
    at = rng.randrange(0, len(words) - size)
    return " ".join([*words[:at], *words[at : at + size] * rng.randint(4, 15)])


def sentence_loop(rng: random.Random, texts: list[str]) -> str:
    return " ".join([_one(rng, texts)] * rng.randint(3, 8))


def signs(rng: random.Random, _: list[str]) -> str:
    return "".join(rng.choices("!@#$%^&*()_+{}|:<>?~`-=[];,./\\ ", k=rng.randint(15, 120)))


def signs_and_letters(rng: random.Random, _: list[str]) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits + "!@#$%^&*(){}|<>?~  ", k=rng.randint(30, 150)))


def digits(rng: random.Random, _: list[str]) -> str:
    return "".join(rng.choices(string.digits, k=rng.randint(40, 200)))


def bytes_misread(rng: random.Random, _: list[str]) -> str:
    return _one(rng, _accented()).encode().decode("cp1252", "replace")


def bytes_misread_latin(rng: random.Random, _: list[str]) -> str:
    return _one(rng, _accented()).encode().decode("latin-1")


def bytes_misread_cyrillic(rng: random.Random, _: list[str]) -> str:
    return _one(rng, _russian()).encode().decode(rng.choice(["cp1251", "latin-1"]), "replace")


def bytes_lost(rng: random.Random, _: list[str]) -> str:
    return _one(rng, _accented()).encode("latin-1", "replace").decode("utf-8", "replace")


def two_scripts(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()
    return " ".join("".join(c.translate(_LOOKALIKES) if rng.random() < 0.5 else c for c in word) for word in words)


def many_scripts(rng: random.Random, _: list[str]) -> str:
    ranges = [
        (0x61, 0x7A),
        (0x391, 0x3C9),
        (0x410, 0x44F),
        (0x5D0, 0x5EA),
        (0x627, 0x64A),
        (0x905, 0x939),
        (0xE01, 0xE2E),
        (0x3041, 0x3096),
        (0x4E00, 0x9FA5),
    ]
    return " ".join(
        "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(2, 6))) for _ in range(rng.randint(6, 15))
    )


def half_markup(rng: random.Random, texts: list[str]) -> str:
    text = _one(rng, texts)
    return rng.choice([
        f'<div class="answer"><p>{text}',
        f"{text}</p></div></body>",
        f'{text} <a href="https://example.org/{rng.randint(1, 99)}',
        f"{text} [source](https://example.org/{rng.randint(1, 99)}",
        f"<table><tr><td>{text[:30]}",
        html.escape(f'"{text[:40]}" & "{text[40:]}"').replace("'", "&apos;"),
        '{"role": "assistant", "content": "' + text,
    ])  # fmt: skip


def place(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()
    at = rng.randrange(1, len(words))
    return " ".join([*words[:at], rng.choice(_PLACES), *words[at + 1 :]])


def model_marks(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()
    for _ in range(rng.randint(1, 4)):
        words.insert(rng.randrange(len(words)), rng.choice(_MARKS))
    return " ".join(words)


def specimen(rng: random.Random, _: list[str]) -> str:
    words = [
        "lorem",
        "ipsum",
        "dolor",
        "sit",
        "amet",
        "consectetur",
        "adipiscing",
        "elit",
        "sed",
        "do",
        "eiusmod",
        "tempor",
        "incididunt",
        "ut",
        "labore",
        "et",
        "dolore",
        "magna",
        "aliqua",
    ]
    return " ".join(words[: rng.randint(5, len(words))]).capitalize() + "."


def letters(rng: random.Random, _: list[str]) -> str:
    return " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9))) for _ in range(rng.randint(5, 20))) + "."


def keys(rng: random.Random, _: list[str]) -> str:
    rows = ["qwertyuiop", "asdfghjkl", "zxcvbnm"]
    return " ".join("".join(rng.choices(rng.choice(rows), k=rng.randint(4, 9))) for _ in range(rng.randint(5, 15)))


def cyrillic_letters(rng: random.Random, _: list[str]) -> str:
    return " ".join("".join(rng.choices(_CYRILLIC, k=rng.randint(3, 9))) for _ in range(rng.randint(5, 15))) + "."


def shuffled_letters(rng: random.Random, texts: list[str]) -> str:
    return " ".join("".join(rng.sample(word, len(word))) for word in _one(rng, texts).lower().split())


def no_vowels(rng: random.Random, texts: list[str]) -> str:
    return re.sub("[aeiouAEIOU]", "", _one(rng, texts))


def only_points(rng: random.Random, _: list[str]) -> str:
    return "".join(rng.choices("?!.,;: ", k=rng.randint(5, 40)))


def trailing_off(rng: random.Random, texts: list[str]) -> str:
    words = _one(rng, texts).split()[: rng.randint(2, 5)]
    return (
        " ".join(words)
        + " "
        + " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(4, 9))) for _ in range(rng.randint(8, 20)))
    )


MAKERS: tuple[Maker, ...] = (
    character_run, group_run, word_run, phrase_loop, sentence_loop, signs, signs_and_letters, digits, bytes_misread,
    bytes_misread_latin, bytes_misread_cyrillic, bytes_lost, two_scripts, many_scripts, half_markup, place, model_marks, specimen,
    letters, keys, cyrillic_letters, shuffled_letters, no_vowels, only_points, trailing_off,
)  # fmt: skip


def main() -> None:
    rng = random.Random(SEED)
    texts = _sentences()
    made = [{"text": make(rng, texts), "label": "garbage", "kind": make.__name__} for make in MAKERS for _ in range(EACH)]
    lines = [json.dumps(row, ensure_ascii=False) for row in made if row["text"].strip()]
    (HERE / "garbage.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
