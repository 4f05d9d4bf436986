"""Our stores beside each other and beside others: what a search, filling, memory and disk cost, and what an approximate leg misses.

    python -m bench.stores [--chunks 50000 200000] [--data FOLDER] [--kinds edge exact] [--json FILE] [--write NOTE]

Every store has a process of its own, one after the other, the same chunks and the same questions, one at a time. Weaviate takes
part where it is set up (`make setup-weaviate`), LanceDB and FAISS where `make setup-bench` was called. `--write` puts the table
into RESULTS.md, with the note (for example: alone on the machine).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from bench.sections import replaced
from bench.store_data import made
from bench.store_worker import OURS, PEERS
from cli.parts.weaviate import PROGRAM, NodePorts, launch_spec
from cli.tools import find_program

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
_WORKER_SECONDS = 900
_START_SECONDS = 60
_MARK = "stores"
_ALL_UP_TO = 100_000
_LARGE = ("edge", "edge-labels", "exact")
"""Stores that are measured beyond that number of chunks where none is named: the others would take many minutes."""


def available() -> list[str]:
    """The stores that can take part here."""
    peers = list(PEERS) if PEER_PYTHON.exists() else []
    return [kind for kind in OURS if kind != "weaviate" or find_program(PROGRAM) is not None] + peers


@contextlib.contextmanager
def weaviate(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server of its own: its settings for a worker, and its process."""
    ports = NodePorts.choose()
    spec = launch_spec(folder, ports)
    log = (folder / "weaviate.log").open("wb")
    process = subprocess.Popen(spec.argv, env=dict(spec.env), cwd=spec.cwd, stdout=log, stderr=log)
    try:
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{ports.http}/v1/.well-known/ready", timeout=1) as answer:  # our own
                    if answer.status == 200:
                        break
            except (URLError, OSError):
                if process.poll() is not None or time.monotonic() > until:
                    raise
            time.sleep(0.1)
        node = {"http_port": ports.http, "grpc_port": ports.grpc}
        settings = {"nodes": [node], "consistency": "ONE", "compression": "int8", "search_seconds": 10}
        yield json.dumps(settings), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def measure(kind: str, data: Path, chunks: int) -> dict[str, Any]:
    """One store, filled and asked, in a folder of its own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"ragmesh-{kind}-")))
        server, process = stack.enter_context(weaviate(folder / "server")) if kind == "weaviate" else ("", None)
        used = _cpu(process) if process is not None else 0.0
        python = sys.executable if kind in OURS else str(PEER_PYTHON)
        where = ("--data", str(data), "--folder", str(folder / "store"), "--chunks", str(chunks), "--server", server)
        paths = os.pathsep.join(str(ROOT / one) for one in ("", "gen/python", "deploy/triton/lib"))
        done = subprocess.run(
            [python, "-m", "bench.store_worker", kind, *where],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "LANCE_LOG": "error"},
            stdout=subprocess.PIPE,
            timeout=_WORKER_SECONDS,
            check=True,
        )
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if process is not None:
            figures["cpu_ms_per_chunk"] += (_cpu(process) - used) / chunks * 1_000
            figures["memory_mib"] = process.memory_info().rss / 2**20
            blocks = sum(path.stat().st_blocks for path in (folder / "server").rglob("*") if path.is_file())
            figures["disk_mib"] = blocks * 512 / 2**20
    return figures


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(sizes: Sequence[int], kinds: Sequence[str], data: Path | None) -> dict[str, Any]:
    """All stores at all sizes, over the same chunks."""
    with tempfile.TemporaryDirectory(prefix="ragmesh-stores-") as place:
        filled, real = made(max(sizes), data)
        folder = Path(place)
        filled.write(folder)
        del filled
        stores: dict[str, Any] = {}
        for size in sizes:
            for kind in kinds or (available() if size <= _ALL_UP_TO else _LARGE):
                stores.setdefault(str(size), {})[kind] = measure(kind, folder, size)
                print(f"{size} {kind}: {json.dumps(stores[str(size)][kind])}", file=sys.stderr, flush=True)
    return {"real_chunks": real, "data": data is not None, "load_average": os.getloadavg()[0], "stores": stores}


def table(figures: dict[str, Any]) -> str:
    """A row a store and size."""

    def pair(found: dict[str, float] | None) -> str:
        return f"{found['p50_ms']:.2f} / {found['p95_ms']:.2f}" if found else "none"

    rows = []
    for size, kinds in figures["stores"].items():
        for kind, one in kinds.items():
            cells = (
                f"{int(size):,}",
                kind,
                *(pair(one[leg]) for leg in ("hybrid", "dense", "sparse")),
                f"{one['dense_recall_at_10']:.3f}",
                f"{one['chunks_per_second']:,.0f}",
                f"{one['memory_mib']:,.0f}",
                f"{one['disk_mib']:,.0f}",
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def report(figures: dict[str, Any], note: str) -> str:
    """The section of RESULTS.md."""
    source = "open documentation and textbooks (`training/manifest.json`)" if figures["data"] else "made documents (`bench.corpus`)"
    return f"""## Stores

`python -m bench.stores`, {note}; load average {figures["load_average"]:.1f} at the end.
{figures["real_chunks"]:,} passages of {source}, embedded by the embedder that is served,
and mixtures of them with noise up to the number (`bench/store_data.py`); 400 questions, one at a time, forty hits a leg, ten fused.
Of `edge-labels` labels hide three of five documents from the reader. Times in ms, p50 / p95. Recall: the ten nearest of the dense
leg that an exact scan finds. Rate: chunks a second into the store, indexes built included. Memory: what the process grew by;
Weaviate's whole server. Asked, for `edge`, with and without labels, hybrid: 50,000 p50 <= 2,
p95 <= 5; 200,000 p50 <= 3; recall >= .97.

| chunks | store | hybrid | dense | BM25 | recall@10 | chunks/s | memory MiB | disk MiB |
|---|---|---|---|---|---|---|---|---|
{table(figures)}
"""


def main() -> None:
    """Measure, print, and write where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--chunks", type=int, nargs="+", default=[50_000])
    parser.add_argument("--data", type=Path, help="folder of the training data, for real texts")
    parser.add_argument("--kinds", nargs="+", choices=(*OURS, *PEERS), default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", metavar="NOTE", help="write results_stores.json and the section of RESULTS.md")
    options = parser.parse_args()
    # A server that was started is ended with the measurement, also where that is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures = run(options.chunks, options.kinds or [], options.data)
    section = report(figures, options.write or "not kept")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if options.write:
        (ROOT / "bench" / "results_stores.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        page = ROOT / "bench" / "RESULTS.md"
        page.write_text(replaced(page.read_text(encoding="utf-8"), _MARK, section), encoding="utf-8")
    print(section)


if __name__ == "__main__":
    main()
