"""`ragmesh search` and the figures of `ragmesh eval search`: what is printed of an explained search, what a row is worth."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh.evidence.v1 import search_pb2
from ragmesh.retriever.v1 import retriever_service_pb2 as pb

from cli.commands import search
from cli.errors import CliError
from cli.evaluation.rows import read_rows
from cli.evaluation.run import Item
from cli.evaluation.searching import SearchRow, marks_of, read_corpus, rows_of

DATA = Path(__file__).resolve().parents[2] / "data" / "search"


def test_a_way_of_rewriting_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="'magic' is no way of rewriting"):
        search.search("liver", without=["magic"], var=tmp_path)


def test_without_a_mesh_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="No mesh runs"):
        search.search("liver", var=tmp_path)


def test_an_explained_search_shows_places_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    searched = search_pb2.Searched(text="warfarin")
    searched.rewrites.add(kind=search_pb2.REWRITE_KIND_SPELLING, before="warfrain", after="warfarin")
    judged = search_pb2.Sufficiency(probability=0.42, decision=search_pb2.SUFFICIENCY_DECISION_ANSWER_WITH_GAP, missing=["Why?"])
    told = pb.ExplainResponse(
        response=pb.SearchResponse(searched=searched, sufficiency=judged),
        queries=[pb.ExplainedQuery(text="warfarin", terms=[pb.WeightedTerm(term="warfarin", weight=1)])],
        candidates=[
            pb.ExplainedCandidate(
                title_path=["[A]"], excerpt="blood", rank=1, sparse=pb.Place(rank=1, score=3.5), fused=pb.Place(rank=1)
            ),
            pb.ExplainedCandidate(title_path=["B"], excerpt="thin", dropped=pb.DROP_REASON_SAME_DOCUMENT, fused=pb.Place(rank=2)),
        ],
        fusion=pb.FUSION_METHOD_RELATIVE,
        dense_weight=0.2,
        rerank_depth=20,
    )
    search._print_explained(told)
    shown = capsys.readouterr().out
    for words in (
        "spelling: warfrain -> warfarin",
        "answer with gap, 42%; missing: Why?",
        "warfarin 1",
        "3.5",
        "same document",
        "[A]",
    ):
        assert words in shown


def row(**more: object) -> SearchRow:
    return SearchRow(id="1", query="q", relevant=("a.md", "b.md"), **more)  # type: ignore[arg-type]


def test_marks_of_a_search() -> None:
    ranked = ["x.md", "b.md", "y.md", "z.md", "v.md", "a.md"]
    marks = marks_of(ranked, row(), 3.0, changed=True)
    assert (marks["r1"], marks["r5"], marks["mrr10"], marks["all5"], marks["changed"]) == (0.0, 1.0, 0.5, None, 1.0)
    assert marks_of(ranked, row(every=True), 3.0, changed=False)["all5"] == 0.0
    assert marks_of(["b.md", "a.md"], row(every=True), 3.0, changed=False)["all5"] == 1.0
    assert marks_of([], row(), 3.0, changed=False)["mrr10"] == 0.0


def test_ways_that_never_acted_have_no_row() -> None:
    marks, other = {"r1": 1.0}, {"r1": 0.0}
    item = Item("1", {"f: rewritten": marks, "f: plain": other, "f: no history": other, "f: no parts": marks})
    assert rows_of([item]) == ("f: rewritten", "f: plain", "f: no history")


def test_our_own_questions_name_documents_that_are_there() -> None:
    corpora = {
        name: {one.id for one in read_corpus(folder)} for name, folder in (("en", search_corpus()), ("de", DATA / "corpus_de"))
    }
    files = sorted(DATA.glob("*.jsonl"))
    assert len(files) == 7
    for file in files:
        known = corpora["de" if file.stem == "german" else "en"]
        rows = read_rows(file, SearchRow)
        assert len(rows) >= 40
        assert all(name in known for one in rows for name in one.relevant)


def search_corpus() -> Path:
    return Path(__file__).resolve().parents[3] / "corpus" / "chatcbd"
