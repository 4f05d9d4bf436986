"""Continues the answerer's sentence ranker on synthetic questions about an owner's documents.

Which sentence comes first is learned; how sure the model must be is not: the answerability of each list and half of each sentence's
support are those that the shipped network gives, since made-up questions are easier than real ones and would teach it to trust
anything. The calibration of the release stays in force.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from training.adapt_embedder import choose
from training.adapt_grading import Grader, Graphs, idf_table
from training.adapt_material import Material
from training.adapt_weights import copied, load_network, mixed
from training.answerer_data import Listing, Pool, listings
from training.answerer_model import ListwiseAnswerer
from training.answerer_recipe import collate, export
from training.descent import Descent, falling
from training.progress import Run

BATCH = 32
EPOCHS = 4
RATE = 4e-4
ELSEWHERE_SHARE = 0.4
MAX_QUESTIONS = 5_000
SEED = 7


def adapt(material: Material, graphs: Graphs, target: Path, runs: Path, grader: Grader) -> float:
    """Trains on, chooses how far to go, writes the graph; returns the share of the way."""
    model = ListwiseAnswerer()
    load_network(model, graphs.ranker)
    before = copied(model)
    rows = [question.reading for question in material.questions["train"][:MAX_QUESTIONS]]
    pool = Pool(rows, [(section.title, section.text) for section in material.of("train")], idf_table())
    fit(model, listings(pool, ELSEWHERE_SHARE, Run("adapt-answerer", runs)), runs)
    after = copied(model)

    def write(share: float, path: Path) -> None:
        model.load_state_dict(mixed(before, after, share))
        export(model, path)

    share = choose(material, lambda path: dataclasses.replace(graphs, ranker=path), write, grader, "right_sentence")
    write(share, target)
    return share


def fit(model: ListwiseAnswerer, lists: list[Listing], runs: Path) -> None:
    """AdamW with a falling rate over lists of like length."""
    run = Run("adapt-answerer", runs)
    teacher = ListwiseAnswerer()
    teacher.load_state_dict(model.state_dict())
    teacher.eval()
    rng = random.Random(SEED)
    order = sorted(range(len(lists)), key=lambda i: len(lists[i].gold))
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    descend = Descent(model.parameters(), run, RATE, EPOCHS * len(batches), falling)
    model.train()
    for _ in range(EPOCHS):
        rng.shuffle(batches)
        for chosen in batches:
            descend(_loss(model, teacher, collate([lists[i] for i in chosen])))
    model.eval()


def _loss(model: ListwiseAnswerer, teacher: ListwiseAnswerer, batch: dict[str, Tensor]) -> Tensor:
    """Marginal listwise loss where an answer stands; support half from the labels, half from the teacher; answerability from it."""
    scores, support, answerable = model(batch["features"], batch["kind"], batch["mask"])
    with torch.no_grad():
        _, known_support, known_answerable = teacher(batch["features"], batch["kind"], batch["mask"])
    open_scores = scores.masked_fill(batch["ignored"] > 0, -1e4)
    gold_scores = scores.masked_fill(batch["gold"] == 0, -1e4)
    has_gold = (batch["gold"].sum(1) > 0).float()
    listwise = torch.logsumexp(open_scores, 1) - torch.logsumexp(gold_scores, 1)
    counted = batch["mask"] * (1 - batch["ignored"])
    wanted = (batch["gold"] + known_support.sigmoid()) / 2
    each = functional.binary_cross_entropy_with_logits(support, wanted, reduction="none") * counted
    return (
        (listwise * has_gold).sum() / has_gold.sum().clamp(min=1)
        + (each.sum(1) / counted.sum(1).clamp(min=1)).mean()
        + 0.5 * functional.mse_loss(answerable, known_answerable)
    )
