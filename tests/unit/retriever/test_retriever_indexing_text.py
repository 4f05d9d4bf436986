"""What of a chunk is indexed: titles beside words, and how much they count."""

from __future__ import annotations

from services.retriever.indexing_text import TITLE_WEIGHT, embedded_text, index_terms
from training import passage_data


def test_a_word_of_a_title_counts_more_than_one_of_the_text() -> None:
    terms = index_terms("plants", ("Hemp", "Harvest"), "It is cut in summer.")
    assert sorted(terms) == sorted(("plant", *("hemp", "harvest") * TITLE_WEIGHT, "cut", "summer"))


def test_the_embedder_reads_a_title_once() -> None:
    assert embedded_text(("Hemp", "Harvest"), "It is cut.") == "Hemp > Harvest\nIt is cut."


def test_the_reranker_is_trained_on_what_this_search_brings() -> None:
    assert passage_data.TITLE_WEIGHT == TITLE_WEIGHT
