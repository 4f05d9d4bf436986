"""Writes the guard's validation rows, in the form that `ragmesh eval guard` reads; no row of them is trained on.

python -m training.guard_rows --data DIR --out build/guard

`questions`: held-out clusters of the open jailbreaks, the evaluation-only attacks and honest chats, the held-out half of PUD,
drawn suffixes, our own sets (tests/data/guard/attacks). `documents`: instructions hidden at any offset of held-out documents, and
the same kinds of documents without. Of both, `tune` is the half that the threshold is chosen on, `test` the half that is
reported; a row falls on a side by its text. The same data gives the same bytes. The files are not committed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from training import injection_forms as forms
from training import injection_sources as sources
from training.injection_material import Material
from training.injection_sources import Text, bucket
from training.sources import DataFolder

SEED = 20261121
DOCUMENTS = 300
"""Honest ones of each form."""
MOST_CHARACTERS = 30_000
SUFFIXES = 400


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def questions(data: DataFolder, material: Material) -> list[Text]:
    """Everything that is judged as a question."""
    _, held = sources.split(sources.attacks(data))
    rng = random.Random(SEED)
    suffixed = [f"{rng.choice(material.questions)} {forms.suffix(rng, material.words)}" for _ in range(SUFFIXES)]
    optimised = [Text(text, "attack", "suffix", "en") for text in suffixed]
    own = _lines(sources.OWN_ATTACKS.with_name("benign.jsonl"))
    written = [Text(row["text"], "benign", row["source"], row["lang"]) for row in own] + sources.own_attacks(held_out=True)
    return [*held, *sources.validation_only(data), *sources.sentences(data, held_out=True), *optimised, *written]


def documents(data: DataFolder, material: Material) -> list[Text]:
    """Held-out texts, mails and tables up to 30 kB, with and without an instruction; the held-out ones of BIPIA and our own."""
    rng = random.Random(SEED)
    payloads = {
        "bipia": [text for texts in sources.tasks(data, held_out=True).values() for text in texts],
        "own-indirect": [row.text for row in sources.own_attacks(held_out=True) if row.family == "indirect"],
    }
    found: list[Text] = []
    for form in ("text", "mail", "table"):
        for number in range(DOCUMENTS):
            lines, glue = _document(form, rng, material)
            found.append(Text(glue.join(lines), "benign", form, "en", "document"))
            for source, texts in payloads.items():
                if source == "bipia" or number % 3 == 0:
                    at = rng.randint(0, len(lines))
                    text = glue.join([*lines[:at], rng.choice(texts), *lines[at:]])
                    found.append(Text(text, "attack", f"{source}:{form}", "en", "document"))
    return found


def _document(form: str, rng: random.Random, material: Material) -> tuple[list[str], str]:
    if form == "table":
        return [line for _ in range(rng.choice((1, 1, 3, 20))) for line in forms.table(rng, material.words)], "\n"
    pieces = rng.sample(material.passages, rng.choice((1, 1, 2, 4, 12, 30)))
    sentences = [part for text in pieces for part in re.split(r"(?<=[.!?]) ", " ".join(text.split())) if part]
    while len(" ".join(sentences)) > MOST_CHARACTERS:
        sentences.pop()
    return (forms.mail(rng, sentences[:12]).split("\n"), "\n") if form == "mail" else (sentences, " ")


def half(text: str) -> Literal["tune", "test"]:
    """The half that a row falls on, by its text."""
    return "tune" if bucket(text, "ragmesh-half") < 50 else "test"


def sample(rows: Iterable[Text], most: int) -> list[Text]:
    """At most `most` rows of each source, language and label, by a hash of their text."""
    held: dict[tuple[str, str, str], int] = {}
    found = []
    for row in sorted(rows, key=lambda row: hashlib.sha256(row.text.encode("utf-8", "replace")).digest()):
        key = row.source, row.lang, row.label
        held[key] = held.get(key, 0) + 1
        if held[key] <= most:
            found.append(row)
    return found


def write(rows: Iterable[Text], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"text": row.text, "label": row.label, "source": row.source, "lang": row.lang}, ensure_ascii=False) + "\n"
        for row in rows
    ]
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--most", type=int, default=1_000_000, help="rows of each source, language and label")
    parsed = arguments.parse_args()
    data = DataFolder(parsed.data)
    material = Material.of(data, held_out=True)
    rows, hidden = questions(data, material), documents(data, material)
    for name, found in (("questions", rows), ("documents", hidden)):
        for side in ("tune", "test"):
            write(sample([row for row in found if half(row.text) == side], parsed.most), parsed.out / f"{name}.{side}.jsonl")


if __name__ == "__main__":
    main()
