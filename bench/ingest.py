"""An import end to end, as `ragmesh ingest` does it: rate, processor time by process, memory over its course, searches beside it.

    python -m bench.ingest [--chunks 20000] [--folder FOLDER] [--store weaviate] [--json FILE]
        [--write NOTE]

Starts a mesh of its own and imports made documents (`bench.corpus`), or those of a folder. Where other programs use the machine,
the rate on the clock says little; the time of the processor that a chunk takes, over all processes and the command's own, depends
less on them: two cores have 2,000 ms a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from bench.corpus import sentences, write_documents
from bench.ingest_memory import Sample, doubled, rested, summary
from bench.sections import replaced
from bench.usage import cpu_seconds, folder_mib, resident_mib
from cli.documents.sample import load_sample
from cli.evaluation.corpus import COLLECTION, retriever_channel
from cli.goldens import percentile
from cli.parts.supervisor import Mesh

if TYPE_CHECKING:
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

FOLDER = Path(__file__).resolve().parent
CORES = 2
_WATCH_SECONDS = 2.0
_SEARCH_EVERY_SECONDS = 0.25
_SEARCHES = 120
_SEARCH_SECONDS = 20.0
_WARM_CHUNKS = 400
_WHOLE_WARM = 20
_WHOLE = 150
_MOST_SEARCHED = 12_000
"""Chunks of the import with searches beside it, at most."""


@dataclass
class Course:
    """What was seen from begin to end of an import."""

    samples: list[Sample] = field(default_factory=list)
    search_ms: list[float] = field(default_factory=list)
    searches_failed: int = 0


def questions() -> list[str]:
    """What is searched: sentences of the sample corpus, shortened to the length of a question, in an order of their own."""
    found = [" ".join(sentence.split()[:9]) for sentence in sentences()]
    random.Random(1).shuffle(found)
    return found


async def search(stub: RetrieverServiceAsyncStub, question: str) -> float:
    """Milliseconds of one whole search: query embedding, both legs, fusion, reranking, sufficiency."""
    request = pb.SearchRequest(collection=COLLECTION, query=question, limit=8)
    began = time.perf_counter()
    await stub.Search(request, timeout=_SEARCH_SECONDS)
    return (time.perf_counter() - began) * 1_000


async def whole_searches(mesh: Mesh) -> dict[str, Any]:
    """What a Search takes over all that was imported, one at a time: without reranking, and as it is by default."""
    figures: dict[str, Any] = {}
    async with retriever_channel(mesh) as channel:
        stub: RetrieverServiceAsyncStub = RetrieverServiceStub(channel)
        figures["chunks"] = await _chunks(stub)
        for name, depth in (("without_rerank", 0), ("default", None)):
            took = []
            used = cpu_seconds(mesh)
            # From the end: nobody has asked these before.
            for number, question in enumerate(questions()[: -_WHOLE_WARM - _WHOLE - 1 : -1]):
                if number == _WHOLE_WARM:
                    used = cpu_seconds(mesh)
                request = pb.SearchRequest(collection=COLLECTION, query=question, limit=8, rerank_depth=depth)
                began = time.perf_counter()
                found = await stub.Search(request, timeout=_SEARCH_SECONDS)
                if number >= _WHOLE_WARM:
                    took.append((time.perf_counter() - began) * 1_000)
                    key = f"{name}_degraded"
                    figures[key] = figures.get(key, 0) + bool(found.degraded)
            spent = {part: seconds / len(took) * 1_000 for part, seconds in (cpu_seconds(mesh) - used).items()}
            figures[name] = {
                "p50_ms": percentile(took, 0.5),
                "p95_ms": percentile(took, 0.95),
                "n": len(took),
                "cpu_ms": sum(spent.values()),
                "cpu_ms_by_process": dict(sorted(spent.items(), key=lambda pair: -pair[1])),
            }
    return figures


async def searches(stub: RetrieverServiceAsyncStub, asked: Sequence[str]) -> list[float]:
    """One after the other, with the pauses that they have beside an import."""
    took = []
    for question in asked:
        took.append(await search(stub, question))
        await asyncio.sleep(_SEARCH_EVERY_SECONDS)
    return took


async def _chunks(stub: RetrieverServiceAsyncStub) -> int:
    found = await stub.GetCollection(pb.GetCollectionRequest(name=COLLECTION), timeout=_SEARCH_SECONDS)
    return int(found.collection.chunk_count)


@asynccontextmanager
async def watching(mesh: Mesh, stub: RetrieverServiceAsyncStub, *, searching: bool) -> AsyncIterator[Course]:
    """Looks at memory and counts, and searches, until the block ends."""
    course = Course()
    began = time.perf_counter()

    async def look() -> None:
        while True:
            memory = await asyncio.to_thread(resident_mib, mesh)
            course.samples.append(Sample(time.perf_counter() - began, await _chunks(stub), memory))
            await asyncio.sleep(_WATCH_SECONDS)

    async def ask() -> None:
        for question in questions() * 1_000:
            try:
                course.search_ms.append(await search(stub, question))
            except Exception:  # whatever it was, it is counted
                course.searches_failed += 1
            await asyncio.sleep(_SEARCH_EVERY_SECONDS)

    tasks = [asyncio.create_task(look())] + ([asyncio.create_task(ask())] if searching else [])
    try:
        yield course
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ingest(target: str, folder: Path, prefix: str) -> dict[str, Any]:
    """`ragmesh ingest FOLDER --json`, as a process of its own: what it reports, and the time of the processor that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = (
        str(Path(sys.executable).with_name("ragmesh")),
        "ingest",
        str(folder),
        "--prefix",
        prefix,
        "--json",
        "--target",
        target,
    )
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report: dict[str, Any] = json.loads(output)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, **{name: report[name] for name in ("stored", "failed", "passages", "seconds")}}


async def measure(mesh: Mesh, folder: Path, prefix: str, *, searching: bool) -> dict[str, Any]:
    """One import, and all figures of it."""
    async with retriever_channel(mesh) as channel:
        stub: RetrieverServiceAsyncStub = RetrieverServiceStub(channel)
        used = cpu_seconds(mesh)
        async with watching(mesh, stub, searching=searching) as course:
            done = await ingest(mesh.grpc_target, folder, prefix)
        spent = cpu_seconds(mesh) - used
        end = await asyncio.to_thread(resident_mib, mesh)
        await rested(mesh)
        rest = await asyncio.to_thread(resident_mib, mesh)
        # The next ones: what was asked before, the guard and others remember.
        asked = len(course.search_ms) + course.searches_failed
        quiet = await searches(stub, questions()[asked : asked + _SEARCHES]) if searching else []
    chunks = done["passages"]
    by_process = {name: seconds / chunks * 1_000 for name, seconds in spent.items()} | {"command": done["cpu_s"] / chunks * 1_000}
    total = sum(by_process.values())
    figures: dict[str, Any] = {
        "documents": done["stored"],
        "failed": done["failed"],
        "chunks": chunks,
        "seconds": done["seconds"],
        "chunks_per_second": chunks / done["seconds"],
        "cpu_ms_per_chunk": total,
        "cpu_ms_per_chunk_by_process": dict(sorted(by_process.items(), key=lambda pair: -pair[1])),
        "chunks_per_second_of_two_cores": CORES * 1_000 / total,
        "memory": summary(course.samples, end, rest),
        "load_average": os.getloadavg()[0],
    }
    if searching and course.search_ms:
        figures["search"] = {
            "n_beside": len(course.search_ms),
            "n_quiet": len(quiet),
            "failed_beside": course.searches_failed,
            "p50_ms_beside": percentile(course.search_ms, 0.5),
            "p95_ms_beside": percentile(course.search_ms, 0.95),
            "p50_ms_quiet": percentile(quiet, 0.5),
            "p95_ms_quiet": percentile(quiet, 0.95),
            "p95_ratio": percentile(course.search_ms, 0.95) / percentile(quiet, 0.95),
        }
    return figures


async def run(chunks: int, folder: Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """On a mesh of its own: warm, then an import alone, then one with searches beside it."""
    with contextlib.ExitStack() as stack:
        var = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ragmesh-ingest-")))
        documents = var / "documents"
        for name, count, seed in (
            ("warm", _WARM_CHUNKS, 2),
            ("alone", chunks, 0),
            ("searched", min(max(chunks // 2, 400), _MOST_SEARCHED), 1),
        ):
            await asyncio.to_thread(write_documents, documents / name, count, seed)
        async with Mesh.start(var / "var", public_port=0, local_port=0, **settings) as mesh:
            await load_sample(mesh.grpc_target)
            await ingest(mesh.grpc_target, documents / "warm", "warm")
            figures: dict[str, Any] = {"alone": await measure(mesh, folder or documents / "alone", "alone", searching=False)}
            figures["searched"] = await measure(mesh, documents / "searched", "searched", searching=True)
            figures["searches"] = await whole_searches(mesh)
            figures["disk"] = {"mib": folder_mib(mesh.data_dir)}
    return figures


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was measured, the figure, and the figure asked for."""
    alone, beside, whole = figures["alone"], figures["searched"]["search"], figures["searches"]
    memory = alone["memory"]
    grown = ", ".join(f"{name} {own:+.0f} and {mapped:+.0f}" for name, (own, mapped) in list(memory["grown_mib"].items())[1:5])
    course = ", ".join(
        f"{one['chunks']:,}: {one['mib']['total'][0]} and {one['mib']['total'][1]}" for one in doubled(memory["course"])
    )
    return [
        (
            "import alone, on the clock",
            f"{alone['chunks_per_second']:.0f} chunks/s ({alone['chunks']:,} in {alone['seconds']:.0f} s)",
            "",
        ),
        ("processor time a chunk, everything", f"{alone['cpu_ms_per_chunk']:.2f} ms", "<= 6.67 ms"),
        ("so on two cores", f"{alone['chunks_per_second_of_two_cores']:.0f} chunks/s", ">= 300"),
        (
            "of it",
            ", ".join(f"{name} {ms:.2f}" for name, ms in list(alone["cpu_ms_per_chunk_by_process"].items())[:7]),
            "",
        ),
        (
            "memory of everything (PSS), MiB: its own, and pages of files",
            f"{memory['quarter_mib'][0]:.0f} and {memory['quarter_mib'][1]:.0f} at {memory['quarter_chunks']:,}, "
            f"{memory['end_mib'][0]:.0f} and {memory['end_mib'][1]:.0f} at {memory['end_chunks']:,} chunks; "
            f"{memory['rest_mib'][0]:.0f} and {memory['rest_mib'][1]:.0f} once the index was optimised",
            "flat",
        ),
        ("of it grew since then", grown, ""),
        ("its course", course, ""),
        (
            "search beside an import, p95",
            f"{beside['p95_ms_beside']:.0f} ms, alone {beside['p95_ms_quiet']:.0f} ms: {beside['p95_ratio']:.2f}x; the import made "
            f"{figures['searched']['chunks_per_second']:.0f} chunks/s "
            f"(n {beside['n_beside']} and {beside['n_quiet']}, failed {beside['failed_beside']})",
            "<= 2x",
        ),
        *(
            (
                f"whole Search over {whole['chunks']:,} chunks, {words}",
                f"p50 {whole[name]['p50_ms']:.1f} ms, p95 {whole[name]['p95_ms']:.1f} ms, of the processor "
                f"{whole[name]['cpu_ms']:.1f} ms (n {whole[name]['n']}, degraded {whole[f'{name}_degraded']})",
                asked,
            )
            for name, words, asked in (
                ("without_rerank", "with the query's embedding, without reranking", "p95 <= 30 ms"),
                ("default", "with reranking and sufficiency", "p95 <= 150 ms"),
            )
        ),
        ("disk, everything that is kept", f"{figures['disk']['mib']:.0f} MiB", ""),
    ]


def report(figures: dict[str, Any], note: str) -> str:
    """The section of RESULTS.md."""
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows(figures))
    load = f"{figures['alone']['load_average']:.1f}"
    return f"""## Getting knowledge in, and searching it

`python -m bench.ingest`, {note}; load average {load} at the end of the import. {figures["alone"]["documents"]:,} made documents
(`bench.corpus`) by `ragmesh ingest` through Envoy into a mesh of its own, every process and the command counted; searches one at a
time over the retriever's socket.

| what | figure | asked |
|---|---|---|
{table}
"""


def main() -> None:
    """Measure, print, and write where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--chunks", type=int, default=20_000, help="about how many the import alone makes")
    parser.add_argument("--folder", type=Path, help="documents to import in place of made ones")
    parser.add_argument("--store", choices=("embedded", "weaviate"), default="embedded")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--write", metavar="NOTE", help="write results_ingest.json and the section of RESULTS.md")
    options = parser.parse_args()
    figures = asyncio.run(run(options.chunks, options.folder, {"store": options.store, "sample_corpus": False}))
    text = json.dumps(figures, indent=2) + "\n"
    section = report(figures, options.write or "not kept")
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    if options.write:
        (FOLDER / "results_ingest.json").write_text(text, encoding="utf-8")
        page = FOLDER / "RESULTS.md"
        page.write_text(replaced(page.read_text(encoding="utf-8"), "ingest", section), encoding="utf-8")
    print(section)


if __name__ == "__main__":
    main()
