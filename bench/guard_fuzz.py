"""Fuzzes the guard's rules: does anything crash, do Hyperscan and RE2 agree, and how long does the worst message take?

    .venv/bin/python -m bench.guard_fuzz --messages 1000000 --seed 1
    .venv/bin/python -m bench.guard_fuzz --hostile 600

Times are processor time of the one thread, from a text to its verdict by rules: views, scans, matches.
"""

from __future__ import annotations

import argparse
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


def _told(found: list[Match]) -> list[tuple[str, int, int, float]]:
    return sorted((match.rule.rule.id, match.start, match.end, round(match.score, 6)) for match in found)


def fuzz(count: int, seed: int, seconds: float) -> int:
    """Messages on which the engines agreed; a message on which they do not is printed with its seed and ends the run."""
    rules = load_rules(GuardSettings().guard_rules_dir)
    fast = Matcher(rules, _CACHE)
    oracle = Matcher(rules, make_engine=lambda expressions, _cache: Re2Engine(expressions))
    until = time.monotonic() + seconds
    for number, text in enumerate(messages(random.Random(seed), rules, count)):
        for view in readings(text):
            if _told(fast.scan(view.text, Target.INPUT)) != _told(oracle.scan(view.text, Target.INPUT)):
                print(json.dumps({"seed": seed, "message": number, "view": view.name, "text": text}))
                return -1
        if time.monotonic() > until:
            return number + 1
    return count


def worst(count: int, seed: int) -> dict[str, float]:
    """Microseconds of hostile messages of ten thousand characters, and of fuzzed ones of at most 2 kB."""
    rules = load_rules(GuardSettings().guard_rules_dir)
    judge = Judge(Matcher(rules, _CACHE), block=1.0, flag=0.5)
    chance = random.Random(seed)
    for text in messages(chance, rules, _WARM_UP):
        judge.question(text)
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
    asked = parser.parse_args()
    if asked.hostile:
        print(json.dumps(worst(asked.hostile, asked.seed)))
    if asked.messages:
        print(json.dumps({"seed": asked.seed, "agreed_on": fuzz(asked.messages, asked.seed, asked.seconds)}))


if __name__ == "__main__":
    main()
