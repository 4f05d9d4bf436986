"""An import that a person watches: a bar while it runs, counts and reasons at its end. Knows how it looks; not how it travels."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from cli.connection import in_words, open_channel
from cli.console import document_progress, err
from cli.documents.folder import FolderContent, Refused, SourceFile
from cli.documents.importing import Fate, Hashes, Imported, Importer
from cli.documents.pruning import remove, vanished
from cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, CliError
from services.mesh.errors import MeshError

MAX_SHOWN_FAILURES = 200
MAX_SHOWN_DUPLICATES = 20


@dataclass
class Tally:
    """What became of all files."""

    counts: Counter[Fate] = field(default_factory=Counter)
    failures: list[Refused] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """File, and what of it could not be read."""
    near_duplicates: list[tuple[str, str]] = field(default_factory=list)
    """File, and the id of the document that it nearly repeats."""
    chunks: int = 0
    quarantined_chunks: int = 0
    removed: int = 0
    seconds: float = 0.0

    def add(self, imported: Imported) -> None:
        """Counts one."""
        self.counts[imported.fate] += 1
        self.chunks += imported.chunks
        self.quarantined_chunks += imported.quarantined_chunks
        self.warnings += [(imported.source.relative, warning) for warning in imported.warnings]
        if imported.near_duplicate_of:
            self.near_duplicates.append((imported.source.relative, imported.near_duplicate_of))
        if imported.fate is Fate.REJECTED:
            self.failures.append(Refused(imported.source.relative, imported.reason, imported.message))

    @property
    def done(self) -> int:
        """Files whose fate is known."""
        return self.counts.total()


async def import_files(
    target: str, collection: str, files: Sequence[SourceFile], title: str, *, source: str = "", hashes: Hashes | None = None
) -> Tally:
    """Imports files with a progress bar.

    Args:
        source: what they come from: `collections/{c}/sources/{s}`; empty: not said.

    Raises:
        CliError: the import as a whole could not go on.
    """
    async with open_channel(target) as channel:
        return await _import(channel, target, collection, files, title, source, hashes)


async def import_folder(
    target: str,
    source: str,
    content: FolderContent,
    title: str,
    *,
    prune: bool,
    force: bool = False,
    hashes: Hashes | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Brings the stored documents of a source to what its folder holds.

    Args:
        source: `collections/{c}/sources/{s}`.
        prune: remove documents whose files are gone.
        force: even where no file is left.
        tally: counts here, so that who ends the import knows how far it came.

    Raises:
        CliError: the import as a whole could not go on, or would remove every document.
    """
    collection = source.partition("/sources/")[0]
    async with open_channel(target) as channel:
        gone: list[str] = []
        if prune:
            try:
                gone, stored = await vanished(channel, source, content.document_ids)
            except MeshError as error:
                raise in_words(error, target) from error
            _refuse_accident(content, gone, stored, force)
        tally = await _import(channel, target, collection, content.files, title, source, hashes, tally)
        if gone:
            try:
                tally.removed += await remove(channel, gone)
            except MeshError as error:
                raise in_words(error, target) from error
            # A file that was moved resembled the document that it was, which is gone now.
            removed = {name.rpartition("/")[2] for name in gone}
            tally.near_duplicates = [pair for pair in tally.near_duplicates if pair[1] not in removed]
        return tally


def _refuse_accident(content: FolderContent, gone: Sequence[str], stored: int, force: bool) -> None:
    if gone and content.incomplete:
        raise CliError(
            f"{len(gone)} documents would be removed, but a part of the folder could not be read: they may lie there.",
            "Nothing of this source was changed. Make all of it readable, or leave out --prune.",
            exit_code=EXIT_FAILED,
        )
    if gone and len(gone) == stored and not force:
        raise CliError(
            f"All {stored} documents of the source would be removed: none of their files is in the folder.",
            "Nothing of this source was changed. Is it the right folder? --force removes them.",
            exit_code=EXIT_FAILED,
        )


async def _import(
    channel: grpc.aio.Channel,
    target: str,
    collection: str,
    files: Sequence[SourceFile],
    title: str,
    source: str,
    hashes: Hashes | None,
    tally: Tally | None = None,
) -> Tally:
    tally = tally if tally is not None else Tally()
    begun, before = time.monotonic(), tally.done
    with document_progress() as progress:
        task = progress.add_task(title, total=len(files), rate="")

        def report(imported: Imported) -> None:
            tally.add(imported)
            rate = (tally.done - before) / max(time.monotonic() - begun, 1e-3)
            failed = f", {len(tally.failures)} failed" if tally.failures else ""
            progress.update(task, completed=tally.done - before, rate=f"{rate:.1f}/s, {tally.chunks} passages{failed}")

        try:
            await Importer(channel, collection, report, source=source, hashes=hashes).run(files)
        except MeshError as error:
            failure = in_words(error, target)
            failure.message = f"After {tally.done - before} of {len(files)} documents: {failure.message}"
            raise failure from error
    tally.seconds += time.monotonic() - begun
    return tally


def interrupted(tally: Tally, content: FolderContent) -> CliError:
    """What a person is told who ended an import with Ctrl-C."""
    counts = f"{tally.counts[Fate.STORED]} stored, {tally.counts[Fate.UNCHANGED]} unchanged, {len(tally.failures)} failed"
    return CliError(
        f"Stopped after {tally.done} of {len(content.files)} documents: {counts}.",
        "What is stored stays, and nothing is there by half. The same command goes on from here.",
        exit_code=EXIT_INTERRUPTED,
    )


def print_tally(tally: Tally, content: FolderContent) -> None:
    """Counts in one line, then each failure with its reason."""
    failures = [*content.refused, *tally.failures]
    words = [f"{tally.counts[Fate.STORED]} stored", f"{tally.counts[Fate.UNCHANGED]} unchanged", f"{len(failures)} failed"]
    if tally.removed:
        words.append(f"{tally.removed} removed")
    if content.others:
        words.append(f"{content.others} of other kinds passed over")
    if tally.quarantined_chunks:
        words.append(f"{tally.quarantined_chunks} passages held back by the guard")
    if tally.near_duplicates:
        words.append(f"{len(tally.near_duplicates)} nearly the same as another")
    err.print(f"{', '.join(words)} in {tally.seconds:.1f} s.")
    for relative, other in tally.near_duplicates[:MAX_SHOWN_DUPLICATES]:
        err.print(f"  {relative}: nearly the same as {other}, both are kept", markup=False)
    for relative, warning in tally.warnings[:MAX_SHOWN_FAILURES]:
        err.print(f"  {relative}: {warning}", markup=False)
    if failures:
        for failure in failures[:MAX_SHOWN_FAILURES]:
            err.print(f"  {failure.relative}: {failure.message} [{failure.reason}]", markup=False)
        if len(failures) > MAX_SHOWN_FAILURES:
            err.print(f"... and {len(failures) - MAX_SHOWN_FAILURES} more.")


def report_of(tally: Tally, content: FolderContent, sources: Sequence[str]) -> dict[str, Any]:
    """The same for a program."""
    failures = [*content.refused, *tally.failures]
    return {
        "source": sources[0] if len(sources) == 1 else "",
        "sources": list(sources),
        "stored": tally.counts[Fate.STORED],
        "unchanged": tally.counts[Fate.UNCHANGED],
        "removed": tally.removed,
        "failed": len(failures),
        "other_kinds": content.others,
        "passages": tally.chunks,
        "quarantined_passages": tally.quarantined_chunks,
        "seconds": round(tally.seconds, 3),
        "documents_per_second": round(tally.done / max(tally.seconds, 1e-3), 2),
        "failures": [{"file": one.relative, "reason": one.reason, "message": one.message} for one in failures],
        "warnings": [{"file": file, "message": message} for file, message in tally.warnings],
        "near_duplicates": [{"file": file, "document": document} for file, document in tally.near_duplicates],
    }
