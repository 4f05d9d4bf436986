"""The text of Wikipedia among the training data as documents to ask about; nothing held out, nothing of an evaluation set.

This module does not know how questions are made.

python -m training.synthetic_sources --data DIR [--limit 100000] [--out build/synthetic/wiki.jsonl]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from training import ROOT, reading_sets, splits
from training.open_text import documents
from training.sources import DataFolder
from training.synthetic import Text, Triple, triples

SPARE = 1.2
_SPLIT_MARK = "<::::>"


def respace(text: str) -> str:
    """Undoes the spacing of tokenised text: "Teutberga( died 875 )", "children 's", `" What ? "`."""
    text = reading_sets.detokenise(text.replace("``", '"').replace("''", '"').replace("--", "–"))
    text = re.sub(r"(\w)\(\s*", r"\1 (", text)
    text = re.sub(r"\(\s+", "(", text)
    text = re.sub(r" ([’']s\b|[.,;:!?)])", r"\1", text)
    text = re.sub(r"(\w)- (\w)", r"\1-\2", text)
    return _requote(text)


def _requote(text: str) -> str:
    """Straight quotes alternate: an opening one hangs on the next word, a closing one on the word before."""
    pieces = text.split('"')
    if len(pieces) % 2 == 0:
        return text
    out = [pieces[0]]
    for index, piece in enumerate(pieces[1:], start=1):
        opening = index % 2 == 1
        if opening:
            before = out[-1].rstrip()
            out[-1] = before + (" " if before and before[-1] not in "([“-" else "")
            out.append('"' + piece.strip())
        else:
            follows = piece.lstrip()
            out.append('"' + ("" if not follows or follows[0] in ".,;:!?)'’" else " ") + follows)
    return "".join(out)


def wiki_documents(data: DataFolder) -> Iterator[Text]:
    """Articles, sections and single sentences of Wikipedia that may be trained on."""
    evaluated = splits.evaluation_titles(data)
    for document in _all_wiki(data):
        if splits.trainable(document.title, evaluated):
            yield document


def _all_wiki(data: DataFolder) -> Iterator[Text]:
    for title, text in reading_sets.wiki_paragraphs(data):
        yield Text("2wiki", title, [("", respace(text))])
    yield from _grouped("squad", [(row.title, row.passage) for row in reading_sets.squad(data)])
    yield from _grouped("selqa", [(row.title, row.passage) for row in reading_sets.sel_qa(data)])
    yield from _grouped("boolq", [(title, respace(text)) for title, text in _bool_passages(data)])
    for name in data.under("qa/text/wikisplit_"):
        for line in data.text(name).splitlines():
            _, _, simple = line.partition("\t")
            if _SPLIT_MARK in simple:
                yield Text("wikisplit", "", [("", respace(simple.replace(_SPLIT_MARK, " ")))])
    for name in data.under("qa/text/gap_"):
        for line in data.text(name).splitlines()[1:]:
            cells = line.split("\t")
            title = cells[-1].rsplit("/", 1)[-1].replace("_", " ")
            yield Text("gap", title, [("", respace(cells[1]))])
    for sentence in sorted({sentence for _, _, sentence in reading_sets.qamr(data)}):
        yield Text("qamr", "", [("", respace(sentence))])


def _bool_passages(data: DataFolder) -> list[tuple[str, str]]:
    return [(title, passage) for title, _, passage in reading_sets.bool_q(data)]


def _grouped(source: str, rows: list[tuple[str, str]]) -> Iterator[Text]:
    articles: dict[str, dict[str, None]] = {}
    for title, passage in rows:
        articles.setdefault(title, {})[passage] = None
    for title, passages in articles.items():
        yield Text(source, title, [("", passage) for passage in passages])


def open_documents(data: DataFolder) -> Iterator[Text]:
    """The open text (books, handbooks, documentation), whole documents, none held out."""
    evaluated = splits.evaluation_titles(data)
    for document in documents(data):
        if splits.trainable(document.title, evaluated):
            yield Text(document.source, document.title, document.sections, document.glossary)


def write(rows: list[Triple], out: Path) -> None:
    """JSON lines {question, title, passage, answers, source, kind}."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(out.name + ".part")
    with draft.open("w", encoding="utf-8") as file:
        for row in rows:
            line = {"question": row.question, "title": row.title, "passage": row.passage, "answers": [list(a) for a in row.answers]}
            file.write(json.dumps({**line, "source": row.source, "kind": row.kind}, ensure_ascii=False) + "\n")
    # Whoever reads meanwhile has the former file whole.
    draft.replace(out)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--limit", type=int, default=100_000)
    arguments.add_argument("--copies", type=int, default=3, help="how often a question may come, each time in another style")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--text", choices=("wiki", "open"), default="wiki")
    arguments.add_argument("--out", type=Path, default=ROOT / "build" / "synthetic" / "wiki.jsonl")
    parsed = arguments.parse_args()
    data = DataFolder(parsed.data)
    began = time.monotonic()
    found = list((wiki_documents if parsed.text == "wiki" else open_documents)(data))
    random.Random(parsed.seed).shuffle(found)
    read = time.monotonic()
    # Some more than are wanted, since some will share text with what is evaluated on.
    rows = list(triples(found, parsed.seed, int(parsed.limit * SPARE), copies=parsed.copies))
    made = time.monotonic()
    print(
        f"{len(found)} documents read in {read - began:.0f} s; {len(rows)} triples at {len(rows) / (made - read):.0f}/s", flush=True
    )
    rows = splits.clean(rows, lambda row: (row.passage, row.question), splits.evaluation_grams(data, ROOT))
    random.Random(parsed.seed).shuffle(rows)
    write(rows[: parsed.limit], parsed.out)
    print(f"{len(rows)} share no 13-gram with what is evaluated on; {min(len(rows), parsed.limit)} written to {parsed.out}")


if __name__ == "__main__":
    main()
