"""`make train` makes what is shipped, each after what it is made from. Read, not imported: this environment has no torch."""

from __future__ import annotations

import ast
from pathlib import Path

TRAINING = Path(__file__).resolve().parents[2] / "training"
PARTS_OF_OTHERS = {"span_recipe"}
"""Recipes that another one calls."""
BEFORE = [
    ("tokenizer_recipe", "embedder_recipe"),
    ("embedder_recipe", "answerer_recipe"),
    ("answerer_recipe", "passage_recipe"),
    ("passage_recipe", "reader_recipe"),
]
"""Who reads, or stands in for, what the one before writes."""


def order() -> list[str]:
    """Modules of the recipes, as they come."""
    for node in ast.parse((TRAINING / "train_all.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "RECIPES":
            assert isinstance(node.value, ast.Dict)
            values = [value for value in node.value.values if isinstance(value, ast.Attribute)]
            return [value.value.id for value in values if isinstance(value.value, ast.Name) and value.attr == "train"]
    raise AssertionError("train_all.py has no RECIPES")


def test_every_recipe_is_in_the_order() -> None:
    made = {path.stem for path in TRAINING.glob("*_recipe.py")}
    assert set(order()) == made - PARTS_OF_OTHERS


def test_what_is_made_from_others_comes_after_them() -> None:
    found = order()
    assert len(found) == len(set(found))
    for first, second in BEFORE:
        assert found.index(first) < found.index(second)


def test_sufficiency_is_fitted_to_searches_by_all_the_others() -> None:
    assert order()[-1] == "sufficiency_recipe"
