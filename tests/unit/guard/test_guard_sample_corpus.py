"""Our own sample corpus, as an import hands it to the guard: no passage of it is held back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ragmesh.guard.v1 import guard_service_pb2 as pb
from tokenizers import Tokenizer

from services.retriever.chunking import ChunkSizes, Offsets, pack, sections, spans
from services.retriever.parsing import parse
from services.retriever.quarantine_book import passage_text
from tests.unit.guard.guard_parts import ROOT, judge

PAGES = sorted((ROOT / "corpus").rglob("*.md"))
TOKENIZER = Tokenizer.from_file(str(ROOT / "deploy" / "triton" / "model_repository" / "tokenizer" / "1" / "tokenizer.json"))


def _offsets(text: str) -> Offsets:
    """In bytes, as the tokenizer model gives them."""
    places = np.cumsum([0, *(len(letter.encode()) for letter in text)])
    found = TOKENIZER.encode(text, add_special_tokens=False).offsets
    return places[np.array(found, dtype=np.int64).reshape(-1, 2)].astype(np.int32)


def _passages(page: Path) -> list[str]:
    document = parse(page.read_bytes(), "text/markdown")
    planned = sections(document, document.title or page.stem)
    chunks = pack(document, planned, [_offsets(document.slice(*span)) for span in spans(planned)], ChunkSizes(220, 320))
    return [passage_text(chunk.title_path, chunk.text) for chunk in chunks]


def test_the_pages_are_found() -> None:
    assert len(PAGES) >= 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_passage_of_the_sample_corpus_is_held_back(page: Path) -> None:
    passages = _passages(page)
    assert passages
    held = [passage for passage in passages if judge().passage(passage)[0].action not in (pb.ACTION_ALLOW, pb.ACTION_FLAG)]
    assert held == []
