"""Word vectors of the reader's stems, learnt from the open text alone: where the reader's word rows begin.

Skip-gram with negative sampling (Mikolov et al., "Distributed Representations of Words and Phrases", 2013) as gensim implements it.
Held-out articles are left out, so that the vectors know nothing that the reader must not know.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.reading_text import positions, stem_of

from training import ROOT, RUNS, reading_sets
from training.open_text import documents
from training.progress import Run
from training.sources import DataFolder
from training.splits import evaluation_grams, evaluation_titles, held_out, shares, trainable

STEMS = 24_000
WIDTH = 192
EPOCHS = 2
SEED = 20260721
FOLDER = RUNS / "word_vectors"


def _texts(data: DataFolder) -> Iterator[str]:
    """Every paragraph once, without held-out articles and without what shares text with evaluation files."""
    known, evaluated = evaluation_grams(data, ROOT), evaluation_titles(data)
    for title, text in _paragraphs(data):
        if trainable(title, evaluated) and not shares(text, known):
            yield f"{title}: {text}" if title else text


def _paragraphs(data: DataFolder) -> Iterator[tuple[str, str]]:
    for document in documents(data):
        if held_out(document.title):
            continue
        for _, text in document.sections:
            yield "", text
        yield from document.glossary
    yield from reading_sets.wiki_paragraphs(data)
    for reading in (
        reading_sets.squad,
        reading_sets.sel_qa,
        reading_sets.fairy_tales,
        reading_sets.med_quad,
        reading_sets.covid_qa,
    ):
        yield from dict.fromkeys((row.title, row.passage) for row in reading(data))
    for sentence in dict.fromkeys(sentence for _, _, sentence in reading_sets.qamr(data)):
        yield "", sentence


def _corpus(data: DataFolder, path: Path, run: Run) -> tuple[Counter[str], int]:
    """Writes lines of stems, a paragraph each where it is short enough; -> how often each stem occurs, and the number of lines."""
    seen: Counter[str] = Counter()
    paragraphs, lines = 0, 0
    with path.open("w", encoding="utf-8") as out:
        for text in _texts(data):
            stems = [stem_of(text[a:b]) for a, b in positions(text)]
            seen.update(stems)
            # gensim cuts a line after 10,000 words.
            for at in range(0, len(stems), 5_000):
                out.write(" ".join(stems[at : at + 5_000]) + "\n")
                lines += 1
            paragraphs += 1
            if paragraphs % 5_000 == 0:
                run.say(paragraphs, paragraphs + 1, f"{seen.total() / 1e6:.1f} M words read")
    return seen, lines


def train(data: DataFolder, preset: str = "cpu") -> tuple[list[str], NDArray[np.float32]]:
    """The stems, most frequent first, and their vectors (STEMS, WIDTH); made once and kept under training/runs."""
    del preset  # one thread keeps the result the same from run to run
    stems_file, vectors_file = FOLDER / "stems.txt", FOLDER / "vectors.npy"
    if stems_file.is_file() and vectors_file.is_file():
        return stems_file.read_text(encoding="utf-8").split("\n"), np.load(vectors_file)
    from gensim.models import Word2Vec

    run = Run("word_vectors")
    seen, lines = _corpus(data, FOLDER / "corpus.txt", run)
    stems = [s for s, _ in seen.most_common(STEMS)]
    # In the order of the text, not of frequency: gensim breaks ties by it.
    kept = set(stems)
    frequencies = {s: count for s, count in seen.items() if s in kept}
    model = Word2Vec(
        vector_size=WIDTH,
        window=5,
        min_count=1,
        max_final_vocab=None,
        sg=1,
        negative=5,
        sample=1e-4,
        workers=1,
        seed=SEED,
        epochs=EPOCHS,
    )
    model.build_vocab_from_freq(frequencies)
    words = sum(frequencies.values())
    model.train(corpus_file=str(FOLDER / "corpus.txt"), total_examples=lines, total_words=words, epochs=EPOCHS)
    vectors = np.stack([model.wv[s] for s in stems]).astype(np.float32)
    np.save(vectors_file, vectors)
    stems_file.write_text("\n".join(stems), encoding="utf-8")
    run.finish({"stems": len(stems), "words": words, "width": WIDTH})
    return stems, vectors


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    train(DataFolder(arguments.parse_args().data))
