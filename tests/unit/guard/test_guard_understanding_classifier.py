"""Intents are learnt from phrases, in any language, and what is none of them is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ragmesh_models.reading_text import stem_of

from services.guard.understanding.classifier import OUT_OF_SCOPE, IntentClassifier, IntentError
from services.guard.understanding.ngrams import MAX_CHARACTERS, Ngrams
from services.guard.understanding.words import DEFAULT, WordVectors, stem

PHRASES = {
    "opening_hours": [
        "when do you open",
        "what are your opening hours",
        "are you open on sunday",
        "how late is the shop open",
        "what time do you close",
        "wann habt ihr geöffnet",
        "wie lange hat der laden offen",
        "öffnungszeiten bitte",
    ],
    "delivery": [
        "where is my parcel",
        "when will my order arrive",
        "track my package",
        "has my order been shipped",
        "how long does delivery take",
        "wo ist mein paket",
        "wann kommt meine bestellung",
        "lieferstatus abfragen",
    ],
    "refund": [
        "i want my money back",
        "how do i return an item",
        "can i get a refund",
        "send the shoes back",
        "please cancel and refund my payment",
        "ich möchte mein geld zurück",
        "wie kann ich etwas zurückgeben",
        "rückerstattung beantragen",
    ],
}


@cache
def words() -> WordVectors:
    return WordVectors.load()


@cache
def learnt() -> IntentClassifier:
    return IntentClassifier.learn([(text, name) for name, texts in PHRASES.items() for text in texts], words())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("what are the opening times on saturday?", "opening_hours"),
        ("my package has not arrived yet", "delivery"),
        ("how can i get my money refunded", "refund"),
        ("Wann kommt mein Paket?", "delivery"),
        ("Ich will mein Geld zurück!", "refund"),
    ],
)
def test_what_is_said_in_other_words_is_understood(text: str, wanted: str) -> None:
    found = learnt().understand(text)
    assert (found.intent, found.nearest) == (wanted, wanted)
    assert learnt().threshold <= found.probability <= 1


@pytest.mark.parametrize(
    "text", ["who wrote the iliad", "what is the capital of peru", "how many moons does jupiter have", "zzz qqq"]
)
def test_what_is_none_of_them_is_out_of_scope(text: str) -> None:
    found = learnt().understand(text)
    assert found.intent == OUT_OF_SCOPE
    assert found.nearest in PHRASES


def test_examples_that_are_for_nothing_teach_what_to_refuse() -> None:
    examples = [(text, name) for name, texts in PHRASES.items() for text in texts]
    examples += [
        (f"tell me a joke about {thing}", OUT_OF_SCOPE) for thing in ("cats", "dogs", "shops", "parcels", "money", "sundays")
    ]
    found = IntentClassifier.learn(examples, words()).understand("tell me a joke about deliveries")
    assert found.intent == OUT_OF_SCOPE


def test_the_same_examples_make_the_same_classifier_and_it_can_be_kept(tmp_path: Path) -> None:
    again = IntentClassifier.learn([(text, name) for name, texts in PHRASES.items() for text in texts], words())
    learnt().save(tmp_path / "kept.npz")
    kept = IntentClassifier.load(tmp_path / "kept.npz", words())
    assert kept.labels == learnt().labels
    for text in ("track my order", "wann öffnet ihr", "who wrote the iliad"):
        assert np.array_equal(again.probabilities(text), learnt().probabilities(text))
        assert np.allclose(kept.probabilities(text), learnt().probabilities(text), atol=5e-3)
        assert kept.understand(text).intent == learnt().understand(text).intent


@pytest.mark.parametrize("examples", [[], [("hello", "greeting")], [("a", "x"), ("b", "x")]])
def test_one_intent_is_none_to_tell_apart(examples: list[tuple[str, str]]) -> None:
    with pytest.raises(IntentError, match="intents can be told apart"):
        IntentClassifier.learn(examples, words())


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    for content in (None, b"", b"no weights"):
        if content is not None:
            (tmp_path / "weights.npz").write_bytes(content)
        with pytest.raises(IntentError, match="no weights"):
            IntentClassifier.load(tmp_path / "weights.npz", words())
    with pytest.raises(IntentError, match="no weights"):
        IntentClassifier.load(DEFAULT, words())


def test_a_stem_is_the_one_that_the_vectors_were_learnt_under() -> None:
    texts = "Running cities' it's boxes classes THE 1,000 3.14 don’t o'clock quickly agreed ties bus die ’s héllo ? lied using"
    for word in texts.split():
        assert stem(word) == stem_of(word), word


def test_features_are_a_mean_and_a_maximum() -> None:
    found = words().features("where is the parcel")
    assert found.shape == (2 * words().width,)
    assert float(np.linalg.norm(found[: words().width])) == pytest.approx(1, abs=1e-5)
    assert not words().features("zzqx").any()
    assert words().background.shape[1] == 2 * words().width


def test_ngrams_are_a_unit_vector_of_what_is_known() -> None:
    ngrams = Ngrams.of(["where is my parcel", "open on sunday"])
    rows, values = ngrams.rows("Where is my parcel?")
    assert float(np.linalg.norm(values)) == pytest.approx(1, abs=1e-5)
    assert len(rows) == len(values) == len(set(rows.tolist()))
    assert len(ngrams.rows("zzq")[0]) == 0
    assert len(ngrams.rows("")[0]) == 0
    long = "where is my parcel " * 1_000
    assert np.array_equal(ngrams.rows(long)[0], ngrams.rows(long[:MAX_CHARACTERS])[0])
