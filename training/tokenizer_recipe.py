"""Trains the shared tokenizer: byte-level BPE over case-folded open text.

It takes an even sample over the text files, so that the largest does not choose the vocabulary, and refuses to write a tokenizer
that does not bring every sampled text back exactly. It does not know the models that will read the ids.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from pathlib import Path
from typing import Any

from ragmesh_models.casing import fold
from ragmesh_models.tokens import CONTROL_TOKENS, TextTokenizer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training import MODEL_REPOSITORY, ROOT, cards, parity
from training.open_text import documents
from training.progress import Run
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, held_out, refuse_contamination

VOCABULARY = 12_288
SEED = 20260721
# Case markers stand alone; words keep their leading space; digits go in groups of at most three.
_PIECES = Regex(r"[\uE000-\uE002]| ?\p{L}[\p{L}\p{M}]*| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}\uE000-\uE002]+|\s+(?!\S)|\s+")


def sample(data: DataFolder, per_file: int) -> dict[str, list[str]]:
    """Up to `per_file` characters of paragraphs of each text file, drawn with a fixed seed."""
    by_source: dict[str, list[str]] = {}
    for document in documents(data):
        if held_out(document.title):
            continue
        by_source.setdefault(document.source, []).extend(text for _, text in document.sections)
    chosen: dict[str, list[str]] = {}
    known = evaluation_grams(data, ROOT)
    for source in sorted(by_source):
        paragraphs = by_source[source]
        random.Random(f"{SEED}-{source}").shuffle(paragraphs)
        ends = itertools.accumulate(len(paragraph) for paragraph in paragraphs)
        fitting = [text for text, end in zip(paragraphs, ends, strict=True) if end - len(text) <= per_file]
        chosen[source] = clean(fitting, str, known)
    return chosen


def build(texts: list[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """A trained tokenizer whose control tokens cannot be spelled by any text."""
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = split
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    learner.train_from_iterator((fold(text)[0] for text in texts), trainer)
    state: dict[str, Any] = json.loads(learner.to_str())["model"]
    # Control tokens come first (the pad is 0) and are plain entries, not "added tokens", which would match inside user text.
    vocab = {token: index for index, token in enumerate(CONTROL_TOKENS)}
    for token in sorted(state["vocab"], key=state["vocab"].__getitem__):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(pair) for pair in state["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def measure(tokenizer: TextTokenizer, texts: list[str]) -> dict[str, float]:
    """Round trip and length over texts."""
    exact = sum(tokenizer.decode(tokenizer.encode(text).ids.tolist()) == text for text in texts)
    cased = sum(len(tokenizer.encode(text).ids) for text in texts)
    uncased = sum(len(tokenizer.uncased_ids(text)) for text in texts)
    words = sum(len(text.split()) for text in texts)
    return {
        "round_trip": exact / len(texts),
        "tokens_per_word": round(cased / words, 3),
        "tokens_per_word_without_case_markers": round(uncased / words, 3),
        "texts": len(texts),
    }


def train(data: DataFolder, preset: str = "cpu") -> dict[str, float]:
    run = Run("tokenizer")
    per_file = 1_500_000 if preset == "cpu" else 6_000_000
    chosen = sample(data, per_file)
    unseen = [paragraphs.pop() for paragraphs in chosen.values() for _ in range(min(40, len(paragraphs) // 10))]
    texts = [text for paragraphs in chosen.values() for text in paragraphs]
    refuse_contamination(texts, evaluation_grams(data, ROOT), "tokenizer")
    run.say(1, 2, f"{sum(map(len, texts)) / 1e6:.1f} M characters from {len(chosen)} files", every_s=0)
    target = MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = run.folder / "tokenizer.json"
    build(texts).save(str(draft), pretty=False)
    metrics = measure(TextTokenizer(draft), unseen)
    if metrics["round_trip"] != 1.0:
        raise RuntimeError(f"the tokenizer loses text: {metrics}")
    target.write_bytes(draft.read_bytes())
    served = TextTokenizer(target)
    rows = [{"text": text, "ids": served.encode(text).ids, "offsets": served.encode(text).offsets} for _, text in parity.TEXTS]
    parity.write(target.parent, 0.0, rows=rows)
    run.say(2, 2, str(metrics))
    cards.write("tokenizer", metrics, data.used)
    run.finish(metrics)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset)
