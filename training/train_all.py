"""The reference recipe: verifies the data, then trains, grades and exports every model in the order they depend on each other.

python -m training.train_all --data DIR [--preset cpu|gpu] [--only NAME...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training import (
    answerer_recipe,
    definition_recipe,
    embedder_recipe,
    injection_recipe,
    intent_classifier_recipe,
    intent_recipe,
    passage_recipe,
    reader_recipe,
    sufficiency_recipe,
    tokenizer_recipe,
    verifier_recipe,
)
from training.sources import DataFolder

RECIPES: dict[str, Callable[[DataFolder, str], Any]] = {
    "tokenizer": tokenizer_recipe.train,
    "intent": intent_recipe.train,
    "intent_classifier": intent_classifier_recipe.train,
    "injection": injection_recipe.train,
    "embedder": embedder_recipe.train,
    "answerer": answerer_recipe.train,
    "reranker": passage_recipe.train,
    "definitions": definition_recipe.train,
    "reader": reader_recipe.train,
    "verifier": verifier_recipe.train,
    # Over searches by all the models before it, as they are served.
    "sufficiency": sufficiency_recipe.train,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu", help="gpu takes larger samples and more threads")
    arguments.add_argument("--only", nargs="+", choices=sorted(RECIPES), default=list(RECIPES))
    parsed = arguments.parse_args()
    # A missing or altered file is better found now than after the first model.
    checked = DataFolder(parsed.data)
    names = {use: checked.under("", use) for use in ("train", "evaluate")}
    for use in names:
        for name in names[use]:
            checked.read(name, use)
    print(f"[data] {sum(map(len, names.values()))} files verified", flush=True)
    for name, recipe in RECIPES.items():
        if name in parsed.only:
            # A folder of its own for each recipe, so that a card names what that model read.
            recipe(DataFolder(parsed.data), parsed.preset)


if __name__ == "__main__":
    main()
