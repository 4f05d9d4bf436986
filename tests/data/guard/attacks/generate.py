"""Writes attacks.jsonl and benign.jsonl from the files beside it: the same bytes every time.

python tests/data/guard/attacks/generate.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
DRAWS = 3
"""Rows of a line that has a slot."""
TOPICS = 6


def attacks(file: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Each line without a slot once, each with one with three of the language's `harm`, in turn.

    The last line of a family is held out of training (`split`), in every language.
    """
    for lang, held in file.items():
        turn = 0
        for family, lines in held.items():
            if family == "harm":
                continue
            for place, line in enumerate(lines):
                split = "held_out" if place == len(lines) - 1 else "train"
                for _ in range(DRAWS if "{h}" in line else 1):
                    text = line.replace("{h}", held["harm"][turn % len(held["harm"])]) if "{h}" in line else line
                    turn += 1
                    yield {"text": text, "label": "attack", "source": "own", "lang": lang, "family": family, "split": split}


def benign(file: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Each trigger once, each frame with six of the topics, in turn."""
    topics = file["topics"]
    for lang, held in file.items():
        if lang == "topics":
            continue
        for line in held["triggers"]:
            yield {"text": line, "label": "benign", "source": "own-triggers", "lang": lang}
        for place, line in enumerate(held["frames"]):
            for number in range(TOPICS):
                topic = topics[(place * 7 + number * 3) % len(topics)]
                yield {"text": line.replace("{t}", topic), "label": "benign", "source": "own-frames", "lang": lang}


def natural() -> Iterator[dict[str, str]]:
    """Each line of natural/{language}.txt once."""
    for path in sorted((HERE / "natural").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield {"text": line, "label": "benign", "source": "own-natural", "lang": path.stem}


def _file(name: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    return made


def everything() -> dict[str, Iterable[dict[str, str]]]:
    """The rows of each file that is made."""
    return {
        "attacks": chain(attacks(_file("attacks")), attacks(_file("natural_attacks"))),
        "benign": chain(benign(_file("benign")), natural()),
    }


def main() -> None:
    for name, rows in everything().items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (HERE / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
