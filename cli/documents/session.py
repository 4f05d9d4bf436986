"""An import that a person watches: a bar while it runs, counts and reasons at its end. Knows how it looks; not how it travels."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cli.connection import in_words, open_channel
from cli.console import document_progress, err
from cli.documents.folder import FolderContent, Refused, SourceFile
from cli.documents.importing import Fate, Imported, Importer
from services.mesh.errors import MeshError

MAX_SHOWN_FAILURES = 200


@dataclass
class Tally:
    """What became of all files."""

    counts: Counter[Fate] = field(default_factory=Counter)
    failures: list[Refused] = field(default_factory=list)
    chunks: int = 0
    quarantined_chunks: int = 0
    seconds: float = 0.0

    def add(self, imported: Imported) -> None:
        """Counts one."""
        self.counts[imported.fate] += 1
        self.chunks += imported.chunks
        self.quarantined_chunks += imported.quarantined_chunks
        if imported.fate is Fate.REJECTED:
            self.failures.append(Refused(imported.source.relative, imported.reason, imported.message))


async def import_files(target: str, collection: str, files: Sequence[SourceFile], title: str) -> Tally:
    """Imports files with a progress bar.

    Raises:
        CliError: the import as a whole could not go on.
    """
    tally = Tally()
    begun = time.monotonic()
    with document_progress() as progress:
        task = progress.add_task(title, total=len(files), rate="")

        def report(imported: Imported) -> None:
            tally.add(imported)
            done = sum(tally.counts.values())
            rate = done / max(time.monotonic() - begun, 1e-3)
            progress.update(task, completed=done, rate=f"{rate:.1f}/s")

        async with open_channel(target) as channel:
            try:
                await Importer(channel, collection, report).run(files)
            except MeshError as error:
                done = sum(tally.counts.values())
                failure = in_words(error, target)
                failure.message = f"After {done} of {len(files)} documents: {failure.message}"
                raise failure from error
    tally.seconds = time.monotonic() - begun
    return tally


def print_tally(tally: Tally, content: FolderContent) -> None:
    """Counts in one line, then each failure with its reason."""
    failures = [*content.refused, *tally.failures]
    words = [f"{tally.counts[Fate.STORED]} stored", f"{tally.counts[Fate.UNCHANGED]} unchanged", f"{len(failures)} failed"]
    if content.others:
        words.append(f"{content.others} of other kinds passed over")
    if tally.quarantined_chunks:
        words.append(f"{tally.quarantined_chunks} passages held back by the guard")
    err.print(f"{', '.join(words)} in {tally.seconds:.1f} s.")
    if failures:
        for failure in failures[:MAX_SHOWN_FAILURES]:
            err.print(f"  {failure.relative}: {failure.message} [{failure.reason}]", markup=False)
        if len(failures) > MAX_SHOWN_FAILURES:
            err.print(f"... and {len(failures) - MAX_SHOWN_FAILURES} more.")
