"""Two names of one thing: "CBD (cannabidiol)" in a question, and passages that say either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ragmesh_models.aspects import AspectTable
from ragmesh_models.features import NAMES, FeatureReader, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.other_names import part
from ragmesh_models.passage_features import NAMES as PASSAGE_NAMES
from ragmesh_models.passage_features import PassageFeatures
from ragmesh_models.passages import PassageReader
from ragmesh_models.questions import KINDS, read_question
from ragmesh_models.ranking import read_asked

REPOSITORY = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "model_repository"


@pytest.fixture(scope="module")
def idf() -> IdfTable:
    return IdfTable.load(REPOSITORY / "answerer" / "1" / "idf.bin")


@pytest.mark.parametrize(
    ("question", "asked", "others"),
    [
        ("What is CBD (cannabidiol)?", "What is CBD?", [("cannabidiol",)]),
        ("What is cannabidiol (CBD)?", "What is cannabidiol?", [("cbd",)]),
        ("Does CBD (cannabidiol) help MS (multiple sclerosis)?", "Does CBD help MS?", [("cannabidiol",), ("multipl", "sclerosis")]),
        ("How is multiple sclerosis (MS) treated?", "How is multiple sclerosis treated?", [("ms",)]),
        ("Who won (in 2019)?", "Who won (in 2019)?", []),
        ("Why (not)?", "Why (not)?", []),
        ("What is sodium (Na)?", "What is sodium (Na)?", []),
        ("()", "()", []),
    ],
)
def test_other_names_are_parted_from_the_question(question: str, asked: str, others: list[tuple[str, ...]]) -> None:
    found, names = part(question)
    assert found == asked
    assert [name.other for name in names] == others


@pytest.mark.parametrize("most", [0, 1, 5])
def test_so_many_names_are_read_and_no_more(most: int) -> None:
    _, names = part("Is it " + "CBD (cannabidiol) " * most)
    assert len(names) == min(4, most)


@pytest.mark.parametrize(
    ("question", "plain", "says", "other"),
    [
        ("What is CBD (cannabidiol)?", "What is CBD?", "CBD is an oil.", "Cannabidiol is an oil."),
        ("What is cannabidiol (CBD)?", "What is cannabidiol?", "Cannabidiol is an oil.", "CBD is an oil."),
        ("What is MS (multiple sclerosis)?", "What is MS?", "MS is rare.", "Multiple sclerosis is rare."),
    ],
)
def test_both_names_match_alike(question: str, plain: str, says: str, other: str, idf: IdfTable) -> None:
    def row(asked: str, text: str) -> dict[str, float]:
        read = [read_passage(text, text.split(" is ")[0], 0)]
        return dict(zip(NAMES, FeatureReader(read_question(asked, idf), read, idf).matrix()[0].tolist(), strict=True))

    alike = ("overlap_idf", "overlap_count", "title_overlap", "passage_overlap", "missing_everywhere", "rarest_here")
    own, named = row(plain, says), row(question, other)
    assert {name: own[name] for name in alike} == pytest.approx({name: named[name] for name in alike})
    assert row(plain, other)["overlap_idf"] == 0
    assert KINDS[read_question(question, idf).kind] == "define"


def test_passages_match_by_either_name_and_stay_what_they_were(idf: IdfTable) -> None:
    reader = PassageReader(AspectTable.load(REPOSITORY / "reranker" / "1" / "aspects.bin"))
    passage = reader("What cannabidiol is", "Cannabidiol is an oil. It smells.")
    before = dict(passage.places)
    nothing = np.full((1, 3), np.nan, dtype=np.float32)

    def row(question: str) -> dict[str, float]:
        matrix = PassageFeatures(read_asked(question, idf), [passage], nothing).matrix()
        return dict(zip(PASSAGE_NAMES, matrix[0].tolist(), strict=True))

    named = row("What is CBD (cannabidiol)?")
    assert (named["overlap"], named["overlap_title"], named["title_is_asked"]) == (1, 1, 1)
    assert row("What is CBD?")["overlap"] == 0
    assert passage.places == before


def test_what_a_passage_never_says_changes_nothing(idf: IdfTable) -> None:
    read = [read_passage("Hemp is cut in summer. It is dried.", "Hemp", 0)]
    plain = FeatureReader(read_question("When is hemp cut for CBD?", idf), read, idf).matrix()
    named = FeatureReader(read_question("When is hemp cut for CBD (cannabidiol)?", idf), read, idf).matrix()
    assert np.array_equal(plain, named)
