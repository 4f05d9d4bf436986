"""What the oldest Python that is supported does otherwise than the one that a developer may have."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("services", "cli", "training", "bench", "deploy")


def test_nothing_is_raised_inside_of_a_group_handler() -> None:
    """Before 3.11.4 (Debian 12 has 3.11.2) it comes out wrapped in an ExceptionGroup, which nobody catches."""
    sources = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    handlers = [
        (path, handler)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
    ]
    assert handlers, "the supervisor has one"
    raising = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for path, handler in handlers
        for inner in ast.walk(handler)
        if isinstance(inner, ast.Raise) and inner.exc is not None
    ]
    assert raising == []
