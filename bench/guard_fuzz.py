"""Fuzzes the guard's rules: does anything crash, do Hyperscan and RE2 agree, and how long does the worst message take?

    .venv/bin/python -m bench.guard_fuzz --messages 1000000 --seed 1 --state build/fuzz.json
    .venv/bin/python -m bench.guard_fuzz --hostile 600

Messages are made in ranges of a thousand, each with a seed of its own; with `--state` a run goes on where the one before it ended,
as long as the rules are the same. The atoms that both engines propose are compared for each reading: what is made of them is the
same code for both. Every tenth message is matched and judged to its end as well, by both, for crashes and for the oracle's sake.

Times are processor time of the one thread, from a text to its verdict by rules: views, scans, matches.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.guard_messages import hostile, messages
from services.guard.detection.engines import Re2Engine
from services.guard.detection.matcher import Match, Matcher
from services.guard.detection.rules import Target, load_rules
from services.guard.judge import Judge
from services.guard.settings import GuardSettings
from services.guard.views import readings

_CACHE = Path(tempfile.gettempdir()) / "ragmesh-test-rules"
_WARM_UP = 300


_RANGE = 1_000
_WHOLE = 10
"""Of so many messages one is matched to its end by both engines."""


def _told(found: list[Match]) -> list[tuple[str, int, int, float]]:
    return sorted((match.rule.rule.id, match.start, match.end, round(match.score, 6)) for match in found)


class Disagreement(Exception):
    """The engines do not agree, or something broke; `told` says on which message."""

    def __init__(self, told: dict[str, object]) -> None:
        super().__init__(json.dumps(told))


class Fuzz:
    """Both engines over the shipped rules."""

    def __init__(self) -> None:
        self.rules = load_rules(GuardSettings().guard_rules_dir)
        self._fast = Matcher(self.rules, _CACHE)
        self._oracle = Matcher(self.rules, make_engine=lambda atoms, _cache: Re2Engine(atoms))
        self._judges = [Judge(matcher, block=1.0, flag=0.5) for matcher in (self._fast, self._oracle)]
        self.digest = self._fast.digest

    def run(self, seed: str) -> int:
        """Messages of one range, all of them agreed on.

        Raises:
            Disagreement: the engines do not agree, or something broke.
        """
        number = 0
        for number, text in enumerate(messages(random.Random(seed), self.rules, _RANGE), 1):
            try:
                agreed = self._agreed(text, whole=number % _WHOLE == 0)
            except Exception as error:
                raise Disagreement({"seed": seed, "message": number, "text": text, "error": repr(error)}) from error
            if not agreed:
                raise Disagreement({"seed": seed, "message": number, "text": text})
        return number

    def _agreed(self, text: str, *, whole: bool) -> bool:
        for view in readings(text):
            data = view.text.encode("utf-8", "replace")
            if self._fast.proposed(data) != self._oracle.proposed(data):
                return False
            if whole and _told(self._fast.scan(view.text, Target.INPUT)) != _told(self._oracle.scan(view.text, Target.INPUT)):
                return False
        if whole:
            fast, oracle = (judge.question(text)[0] for judge in self._judges)
            return fast == oracle
        return True


def fuzz(count: int, seed: int, seconds: float, state: Path | None) -> int:
    """Messages on which the engines agreed, those of earlier runs with the same rules counted in.

    Raises:
        Disagreement: they do not agree on one.
    """
    made = Fuzz()
    known = json.loads(state.read_text(encoding="utf-8")) if state is not None and state.exists() else {}
    done = int(known["done"]) if known.get("digest") == made.digest and known.get("seed") == seed else 0
    until = time.monotonic() + seconds
    while done < count and time.monotonic() < until:
        done += made.run(f"{seed}.{done // _RANGE}")
        if state is not None:
            state.parent.mkdir(parents=True, exist_ok=True)
            state.write_text(json.dumps({"digest": made.digest, "seed": seed, "done": done}), encoding="utf-8")
    return done


def worst(count: int, seed: int) -> dict[str, float]:
    """Microseconds of hostile messages of ten thousand characters, and of fuzzed ones of at most 2 kB."""
    rules = load_rules(GuardSettings().guard_rules_dir)
    judge = Judge(Matcher(rules, _CACHE), block=1.0, flag=0.5)
    chance = random.Random(seed)
    for text in messages(chance, rules, _WARM_UP):
        judge.question(text)
    # As the service has it: what lives as long as the process is not looked at by a collection in the middle of a message.
    gc.collect()
    gc.freeze()
    found: dict[str, float] = {}
    short = [text for text in messages(chance, rules, 2 * count) if len(text.encode("utf-8", "replace")) <= 2_048]
    for name, texts in (("fuzzed_2kb", short), ("hostile_10kb", list(hostile(chance, rules, count)))):
        times = []
        for text in texts:
            # The second of two runs: what the processor did before it says nothing about the text.
            for _ in range(2):
                began = time.thread_time_ns()
                judge.question(text)
                spent = (time.thread_time_ns() - began) / 1_000
            times.append((spent, text))
        times.sort(key=lambda item: item[0])
        found |= {
            f"{name}_p50": times[len(times) // 2][0],
            f"{name}_p99": times[int(len(times) * 0.99)][0],
            f"{name}_worst": times[-1][0],
        }
        print(f"{name}: worst text begins {times[-1][1][:100]!r}", file=sys.stderr)
    return found


def main() -> None:
    """Runs what is asked for and prints it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3_600)
    parser.add_argument("--hostile", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file that says how far a run came")
    asked = parser.parse_args()
    if asked.hostile:
        print(json.dumps(worst(asked.hostile, asked.seed)))
    if asked.messages:
        print(json.dumps({"seed": asked.seed, "agreed_on": fuzz(asked.messages, asked.seed, asked.seconds, asked.state)}))


if __name__ == "__main__":
    main()
