"""Continues the reranker's passage scorer on synthetic questions about an owner's documents.

The candidates are what the search brings with the embedder in effect, among training documents only.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

from ragmesh_models.aspects import AspectTable
from ragmesh_models.embedding import Embedder
from ragmesh_models.lexical import IdfTable

from training import MODEL_REPOSITORY
from training.adapt_embedder import choose
from training.adapt_grading import Grader, Graphs, asked_of, corpus_of, tokenizer
from training.adapt_material import Material
from training.adapt_weights import WeightsError, copied, load_network, mixed
from training.descent import Descent, falling
from training.passage_lists import Listing, ListReader, training_lists
from training.passage_model import ListwiseScorer
from training.passage_recipe import collate, export, loss_of
from training.progress import Run

BATCH = 32
EPOCHS = 4
RATE = 5e-4
MAX_QUESTIONS = 4_000
SEED = 7


def adapt(material: Material, graphs: Graphs, target: Path, runs: Path, grader: Grader) -> float:
    """Trains on, chooses how far to go, writes the graph; returns the share of the way."""
    if graphs.scorer is None:
        raise WeightsError("this installation has no reranker")
    model = ListwiseScorer()
    load_network(model, graphs.scorer)
    before = copied(model)
    folder = MODEL_REPOSITORY / "reranker" / "1"
    embedder = Embedder(graphs.embedder, tokenizer())
    corpus = corpus_of(material.of("train"), embedder)
    reader = ListReader(corpus, IdfTable.load(folder / "idf.bin"), (AspectTable.load(folder / "aspects.bin"),))
    asked = [asked_of(question) for question in material.questions["train"][:MAX_QUESTIONS]]
    fit(model, training_lists(reader, asked, embedder, Run("adapt-reranker", runs)), runs)
    after = copied(model)

    def write(share: float, path: Path) -> None:
        model.load_state_dict(mixed(before, after, share))
        export(model, path)

    share = choose(material, lambda path: dataclasses.replace(graphs, scorer=path), write, grader, "reranked")
    write(share, target)
    return share


def fit(model: ListwiseScorer, lists: list[Listing], runs: Path) -> None:
    """AdamW with a falling rate."""
    run = Run("adapt-reranker", runs)
    descend = Descent(model.parameters(), run, RATE, EPOCHS * -(-len(lists) // BATCH), falling)
    rng = random.Random(SEED)
    model.train()
    for _ in range(EPOCHS):
        order = rng.sample(range(len(lists)), len(lists))
        for at in range(0, len(order), BATCH):
            descend(loss_of(model, collate([lists[i] for i in order[at : at + BATCH]])))
    model.eval()
