"""One training run: its folder, its progress lines with an ETA, its curves as JSON and PNG, its checkpoint.

This module does not know any model or any metric's meaning.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from training import RUNS


class Run:
    """Collects the curves of one run under training/runs/<name>."""

    def __init__(self, name: str, root: Path = RUNS) -> None:
        self.name = name
        self.folder = root / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self._began = time.monotonic()
        self._said = 0.0

    def log(self, step: float, **values: float) -> None:
        for key, value in values.items():
            self.curves.setdefault(key, []).append((step, round(float(value), 6)))

    def say(self, done: float, of: float, text: str, every_s: float = 5.0) -> None:
        """A line with an ETA, at most one every few seconds."""
        now = time.monotonic()
        if done < of and now - self._said < every_s:
            return
        self._said = now
        spent = now - self._began
        left = spent / done * (of - done) if done > 0 else 0.0
        print(f"[{self.name}] {done:.0f}/{of:.0f} {text} | {spent:.0f} s, {left:.0f} s left", flush=True)

    def finish(self, metrics: dict[str, Any]) -> None:
        """Writes curves.json, metrics.json and, where matplotlib is installed, curves.png."""
        (self.folder / "curves.json").write_text(json.dumps(self.curves), encoding="utf-8")
        (self.folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
        if self.curves:
            self._draw()

    def _draw(self) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(len(self.curves), 1, figsize=(7, 2.4 * len(self.curves)), squeeze=False)
        for axis, (key, points) in zip(axes[:, 0], sorted(self.curves.items()), strict=True):
            axis.plot([x for x, _ in points], [y for _, y in points])
            axis.set_title(key, fontsize=9)
        figure.tight_layout()
        figure.savefig(self.folder / "curves.png", dpi=80)
        pyplot.close(figure)
