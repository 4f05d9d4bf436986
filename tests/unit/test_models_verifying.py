"""The verifier as a library: plain cases, the hard layer above the network, odd text, and what torch gave at export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ragmesh_models.alignment import PAIR_NAMES, TOKEN_NAMES, align
from ragmesh_models.opposites import opposes
from ragmesh_models.verifying import LABELS, MAX_BATCH, Verifier, calibrated, capped
from ragmesh_models.word_table import WordTable

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "model_repository" / "verifier" / "1"
PASSAGE = (
    "The Parliament has 129 members, who are elected for five years. It meets in the Holyrood area of Edinburgh. "
    "Donald Dewar opened the first session in May 1999."
)


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier(FOLDER)


@pytest.fixture(scope="module")
def parity() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    return found


def supported(verifier: Verifier, claim: str, evidence: str = PASSAGE) -> float:
    return float(verifier([claim], [evidence]).probabilities[0, 0])


@pytest.mark.parametrize(
    "claim",
    [
        "The Parliament has 129 members, who are elected for five years.",
        "The Parliament has 129 members.",
        "It meets in Edinburgh.",
        "The first session was opened by Donald Dewar.",
        "In May 1999 Dewar opened the first session.",
    ],
)
def test_what_the_passage_says_is_supported(verifier: Verifier, claim: str) -> None:
    assert supported(verifier, claim) > 0.5


@pytest.mark.parametrize(
    "claim",
    [
        "The Parliament has 192 members, who are elected for five years.",
        "The Parliament has 129 members, who are elected for four years.",
        "The Parliament does not have 129 members, who are elected for five years.",
        "It never meets in the Holyrood area of Edinburgh.",
        "It meets in the Holyrood area of Glasgow.",
        "Donald Dewar closed the first session in May 1999.",
        "Donald Dewar opened the first session in June 1999.",
        "Photosynthesis takes place in chloroplasts.",
    ],
)
def test_what_it_does_not_say_is_not(verifier: Verifier, claim: str) -> None:
    assert supported(verifier, claim) < 0.5


def test_a_paraphrase_stands_above_its_swap(verifier: Verifier) -> None:
    assert supported(verifier, "Its members are elected for 5 years.") > supported(verifier, "Its members are elected for 4 years.")
    assert supported(verifier, "Dewar opened a session in 1999.") > supported(verifier, "Dewar closed a session in 1999.")


def test_a_missing_fact_is_above_the_network(verifier: Verifier) -> None:
    claims = ["The Parliament has 129 members.", "The Parliament has 128 members.", "The Parliament has many members."]
    found = verifier(claims, [PASSAGE] * 3)
    assert found.missing.tolist() == [False, True, False]
    assert found.probabilities[1, 0] < 0.5


def test_a_cap_keeps_order_and_sums_to_one() -> None:
    plain = np.array([[0.99, 0.005, 0.005], [0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [1.0, 0.0, 0.0]])
    found = capped(plain, np.ones(4, dtype=bool))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)
    assert (found[:, 0] < 0.5).all()
    assert found[3, 0] > found[0, 0] > found[1, 0] > found[2, 0]
    np.testing.assert_allclose(found[2], plain[2], atol=1e-6)
    np.testing.assert_allclose(capped(plain, np.zeros(4, dtype=bool)), plain, atol=1e-6)


def test_calibration_is_a_softmax_of_moved_logits() -> None:
    found = calibrated(np.array([[2.0, 0.0, 0.0]]), 0.5, [0.0, 1.0, 0.0])
    np.testing.assert_allclose(found, np.exp([[1, 1, 0]]) / np.exp([1, 1, 0]).sum())


def test_the_exported_graph_gives_what_torch_gave(verifier: Verifier, parity: dict[str, Any]) -> None:
    """Other figures than those at export mean that graph, words or the analysis of text changed: train the verifier again."""
    found = verifier(parity["claims"], parity["evidence"])
    np.testing.assert_allclose(found.probabilities, np.asarray(parity["probabilities"]), atol=parity["tolerance"])
    assert found.missing.tolist() == parity["missing"]


def test_a_batch_gives_what_single_claims_give(verifier: Verifier) -> None:
    claims = [
        f"The Parliament has {number} members{' of five years' * (number % 5)}." for number in range(100, 100 + MAX_BATCH + 7)
    ]
    together = verifier(claims, [PASSAGE] * len(claims)).probabilities
    apart = np.concatenate([verifier([claim], [PASSAGE]).probabilities for claim in claims])
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("…", "…"),
        ("?", PASSAGE),
        ("Das Café „Zürich“ öffnete 1911.", "Das Café „Zürich“ öffnete 1911."),
        ("東京は日本の首都です。", "東京は日本の首都です。"),
        ("🙂 e\u0301\u200d", "🙂"),
        ("word " * 1_500, "word " * 12_000),
        ("a. " * 2_000, "1,000 " * 9_000),
        ("U.S. " * 1_500, "John " * 12_000),
    ],
)
def test_odd_text_has_a_verdict(verifier: Verifier, claim: str, evidence: str) -> None:
    probabilities = verifier([claim], [evidence]).probabilities
    assert probabilities.shape == (1, len(LABELS))
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(), 1, atol=1e-5)


def test_no_claim_has_no_verdict(verifier: Verifier) -> None:
    found = verifier([], [])
    assert (found.probabilities.shape, found.missing.shape) == ((0, 3), (0,))


def test_alignment_marks_what_stands_in_a_words_place(verifier: Verifier) -> None:
    found = align("Savages was exclusively a German film.", "Savages is an American film directed by Oliver Stone.", verifier.table)
    column = {name: found.tokens[:, n] for n, name in enumerate(TOKEN_NAMES)}
    assert column["exclusive"].tolist() == [0, 0, 1, 0, 0, 0]
    assert column["stem_best"].tolist() == [1, 0, 0, 0, 0, 1]
    assert column["missing"].tolist() == [0, 0, 0, 0, 1, 0]
    assert column["slot_cosine"][4] > 0.5, "American stands where German should, and is used alike"
    assert found.pair[PAIR_NAMES.index("exclusive_unmatched")] == 1


def test_alignment_sees_an_exchange_of_roles(verifier: Verifier) -> None:
    said = "Rome was conquered by Gaul in the autumn."
    same = align(said, said, verifier.table).pair[PAIR_NAMES.index("inversions")]
    turned = align("Gaul was conquered by Rome in the autumn.", said, verifier.table).pair[PAIR_NAMES.index("inversions")]
    assert turned > same == 0


def test_opposites() -> None:
    assert opposes("increas", {"declin", "decreas"})
    assert opposes("happi", {"unhappi"})
    assert opposes("unhappi", {"happi"})
    assert not opposes("hous", {"mous"})


def test_a_word_table_comes_back(tmp_path: Path) -> None:
    vectors = np.array([[0.6, -0.8], [1.0, 0.0]], dtype=np.float32)
    WordTable(["salz", "æon"], np.array([3.0, 12.0]), np.array([0.0, 1.0]), vectors).dump(tmp_path / "w.bin")
    found = WordTable.load(tmp_path / "w.bin")
    assert found.stems == ["salz", "æon"]
    np.testing.assert_allclose(found.idf, [3, 12, 12], atol=0.03)
    np.testing.assert_allclose(found.vectors[:2], vectors, atol=0.005)
    assert not found.vectors[found.place("other")].any()
    assert (found.knows("salz"), found.knows("other"), found.proper("æon"), found.proper("other")) == (True, False, 1.0, 0.0)
