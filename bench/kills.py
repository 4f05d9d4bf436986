"""kill -9 at random moments of an import: nothing that was acked is lost, nothing is there by half or twice.

    python -m bench.kills --store edge --rounds 50                     # also: exact, weaviate
    python -m bench.kills --store weaviate --victim weaviate           # the server is killed, the retriever lives

Each run starts Triton and the guard of its own, in a folder of its own. Its figures take the place of those of the same store and
victim in results.json, or are added to them (`--add`, with another `--seed`); its section of RESULTS.md is written anew. Ends with
1 where a document was lost, halved or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from bench.killing import Figures, Victim, WeaviateServer, kill_retriever, kill_weaviate
from bench.sections import replaced
from cli.parts.supervisor import Mesh
from services.retriever.settings import RetrieverSettings

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "RESULTS.md"
FIGURES = FOLDER / "results.json"
NAME = "kills"
_SEED = 20261121


async def measure(store: Literal["edge", "exact", "weaviate"], victim: Victim, rounds: int, seed: int, seconds: float) -> Figures:
    """Figures of `rounds` kills."""
    with tempfile.TemporaryDirectory(prefix="rmk") as name:
        var = Path(name)
        async with Mesh.start(var, parts=("triton", "guard"), public_port=0, local_port=0, start_seconds=180) as mesh:
            server = WeaviateServer(var / "weaviate")
            places: dict[str, Any] = {"run_dir": mesh.run_dir, "data_dir": mesh.data_dir, "triton": mesh.triton_target}
            settings = RetrieverSettings(**places, retriever_index=store, retriever_weaviate=server.settings)
            if store == "weaviate":
                await server.start()
            try:
                if victim == "weaviate":
                    return await kill_weaviate(settings, server, rounds, seed, seconds)
                return await kill_retriever(settings, rounds, seed, seconds)
            finally:
                await server.kill()


def added(before: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Both runs as one: what was counted is summed; of the times to be back the longest is kept, and the median of the longer."""
    counted = {name: value + before[name] for name, value in run.items() if isinstance(value, int) and name != "seed"}
    longer = max(before, run, key=lambda one: one["rounds"])
    return {**run, **counted, "back_p50_s": longer["back_p50_s"], "back_max_s": max(before["back_max_s"], run["back_max_s"])}


def write_down(figures: dict[str, Any], *, add: bool) -> None:
    """Into results.json and RESULTS.md."""
    kept = json.loads(FIGURES.read_text(encoding="utf-8"))
    runs = kept.setdefault(NAME, {})
    name = f"{figures['store']}, {figures['victim']}"
    runs[name] = added(runs[name], figures) if add and name in runs else figures
    FIGURES.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    RESULTS.write_text(replaced(RESULTS.read_text(encoding="utf-8"), NAME, section(runs)), encoding="utf-8")


def section(runs: dict[str, dict[str, Any]]) -> str:
    """The section as Markdown, a row a run."""
    rows = [
        f"| {run['store']} | {run['victim']} | {run['rounds']} | {run['cut']} | {run['acks']} | {run['documents']} | {run['lost']} "
        f"| {run['half']} | {run['duplicates']} | {run['back_p50_s']:.1f} s, {run['back_max_s']:.1f} s |"
        for _, run in sorted(runs.items())
    ]
    table = "\n".join(rows)
    return f"""## Killed while importing

`python -m bench.kills`: SIGKILL at a random moment of an import, then a look at the list of all documents and searches for
some of the round and of those before it, and after the last kill for every one. *Cut*: kills that met a document that was sent
and not acked yet. *Back*: from the start of what was killed until it answers, median and longest. Asked: 0 acked documents lost,
0 half, 0 duplicates.

| store | killed | kills | cut | acked | documents at the end | lost | half | twice | back |
|---|---|---|---|---|---|---|---|---|---|
{table}
"""


def main() -> int:
    """Kill, print, and write down."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--store", choices=("edge", "exact", "weaviate"), default="edge")
    arguments.add_argument("--victim", choices=("retriever", "weaviate"), default="retriever")
    arguments.add_argument("--rounds", type=int, choices=range(1, 1001), metavar="1..1000", default=50)
    arguments.add_argument("--minutes", type=float, default=60.0, help="after which no further kill begins")
    arguments.add_argument("--seed", type=int, default=_SEED)
    arguments.add_argument("--add", action="store_true", help="add to what was found before")
    arguments.add_argument("--dry", action="store_true", help="write nothing down")
    parsed = arguments.parse_args()
    if parsed.victim == "weaviate" and parsed.store != "weaviate":
        arguments.error("only an index on Weaviate has a server to kill")
    figures = asyncio.run(measure(parsed.store, parsed.victim, parsed.rounds, parsed.seed, parsed.minutes * 60))
    print(json.dumps(figures.as_json(), indent=2))
    if not parsed.dry:
        write_down(figures.as_json(), add=parsed.add)
    return 0 if figures.clean() else 1


if __name__ == "__main__":
    sys.exit(main())
