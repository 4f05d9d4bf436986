"""kill -9 at random moments of an import: nothing that was acked is lost, nothing is there by half or twice.

    python -m bench.kills --store edge --rounds 50                     # also: exact, weaviate
    python -m bench.kills --store weaviate --victim weaviate           # the server is killed, the retriever lives
    python -m bench.kills --store postgresql                           # documents in PostgreSQL, index on qdrant-edge
    python -m bench.kills --store postgresql --victim postgresql       # the postmaster is killed

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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from bench.killing import Figures, kill_retriever, kill_server
from bench.sections import replaced
from bench.victims import KillableServer, Victim, WeaviateServer
from cli.parts.ports import free_ports
from cli.parts.supervisor import Mesh
from services.retriever.settings import RetrieverSettings

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "RESULTS.md"
FIGURES = FOLDER / "results.json"
NAME = "kills"
_SEED = 20261121


Store = Literal["edge", "exact", "weaviate", "postgresql"]


async def measure(store: Store, victim: Victim, rounds: int, seed: int, seconds: float) -> Figures:
    """Figures of `rounds` kills."""
    with tempfile.TemporaryDirectory(prefix="rmk") as name:
        var = Path(name)
        async with Mesh.start(var, parts=("triton", "guard"), public_port=0, local_port=0, start_seconds=180) as mesh:
            places: dict[str, Any] = {"run_dir": mesh.run_dir, "data_dir": mesh.data_dir, "triton": mesh.triton_target}
            async with _store(store) as (server, chosen):
                settings = RetrieverSettings(**places, **chosen)
                if victim != "retriever" and server is not None:
                    return await kill_server(settings, server, rounds, seed, seconds)
                return await kill_retriever(settings, rounds, seed, seconds)


@asynccontextmanager
async def _store(store: Store) -> AsyncIterator[tuple[KillableServer | None, dict[str, Any]]]:
    """The server of a store, if it has one, which is killed at the end, and the settings that choose it."""
    # Not below the mesh's folder, into which only its user may look: PostgreSQL may run as another one.
    with tempfile.TemporaryDirectory(prefix="rms") as name:
        if store == "weaviate":
            weaviate = WeaviateServer(Path(name))
            await weaviate.start()
            try:
                yield weaviate, {"retriever_index": store, "retriever_weaviate": weaviate.settings}
            finally:
                await weaviate.kill()
        elif store == "postgresql":
            # Its driver is not installed where no PostgreSQL is used.
            from bench.postgres_server import KillablePostgres

            postgres = KillablePostgres(Path(name), free_ports(1)[0])
            try:
                yield postgres, {"retriever_truth": store, "retriever_postgres": await postgres.make()}
            finally:
                await postgres.kill()
        else:
            yield None, {"retriever_index": store}


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
    arguments.add_argument("--store", choices=get_args(Store), default="edge")
    arguments.add_argument("--victim", choices=get_args(Victim), default="retriever")
    arguments.add_argument("--rounds", type=int, choices=range(1, 1001), metavar="1..1000", default=50)
    arguments.add_argument("--minutes", type=float, default=60.0, help="after which no further kill begins")
    arguments.add_argument("--seed", type=int, default=_SEED)
    arguments.add_argument("--add", action="store_true", help="add to what was found before")
    arguments.add_argument("--dry", action="store_true", help="write nothing down")
    parsed = arguments.parse_args()
    if parsed.victim not in ("retriever", parsed.store):
        arguments.error(f"{parsed.store} has no server of that name to kill")
    figures = asyncio.run(measure(parsed.store, parsed.victim, parsed.rounds, parsed.seed, parsed.minutes * 60))
    print(json.dumps(figures.as_json(), indent=2))
    if not parsed.dry:
        write_down(figures.as_json(), add=parsed.add)
    return 0 if figures.clean() else 1


if __name__ == "__main__":
    sys.exit(main())
