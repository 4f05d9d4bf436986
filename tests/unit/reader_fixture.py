"""What tests of the joint reader read with: a small vocabulary, and how rare a few words are."""

from __future__ import annotations

import pytest
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import Vocabulary
from ragmesh_models.tokens import TextTokenizer

import training

ANSWERER = training.MODEL_REPOSITORY / "answerer" / "1"
TOKENIZER = training.MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json"
IDF = IdfTable({"bridg": 6.0, "river": 5.0, "ston": 7.0, "finish": 5.0, "salt": 8.0})
BRIDGE = "The stone bridge was finished in 1742. It crosses the river on five arches. Salt paid for it."


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(["the", "bridg", "river"], TextTokenizer(TOKENIZER))
