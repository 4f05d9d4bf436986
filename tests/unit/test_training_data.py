"""The training data's rules: verified bytes, named licences, splits by article, no golden in training; without data or torch."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path

import pytest

from training import ROOT, evaluation, splits
from training.bm25 import Bm25
from training.reading_sets import detokenise
from training.sources import DataFolder, Source, SourceError, read_manifest


def source(name: str, data: bytes, use: str = "train") -> dict[str, Source]:
    return {name: Source(name, "repo: path", "commit", hashlib.sha256(data).hexdigest(), "CC0", use)}


def test_the_manifest_names_origin_licence_and_digest_of_every_file() -> None:
    manifest = read_manifest()
    assert len(manifest) > 40
    for row in manifest.values():
        assert row.origin, row.path
        assert row.licence, row.path
        assert row.commit, row.path
        assert len(row.sha256) == 64, row.path
        assert row.use in ("train", "evaluate"), row.path


def test_sets_that_may_not_reach_weights_are_for_evaluation_only() -> None:
    manifest = read_manifest()
    for name in ("qa/reading/nq_open_oracle_2655.jsonl", "qa/reading/qed_dev.jsonl"):
        assert manifest[name].use == "evaluate"
    banned = ("policyqa", "multirc", "wikiqa", "climate_fever", "covidfact", "anli", "sick", "nltk_rte", "rte_", "cb_", "trec_qc")
    # FEVER's pairs only lie in a folder that is called after RTE.
    trained = [name.replace("fever_rte_", "fever_") for name, row in manifest.items() if row.use == "train"]
    assert not [name for name in trained if any(word in name for word in banned)]


def test_a_file_is_read_plain_or_compressed_and_verified(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"x": 1}\n')
    assert DataFolder(tmp_path, source("a.jsonl", b'{"x": 1}\n')).rows("a.jsonl") == [{"x": 1}]
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress(b"text"))
    folder = DataFolder(tmp_path, source("b.txt", b"text"))
    assert folder.text("b.txt") == "text"
    assert list(folder.used) == ["b.txt"]


def test_another_file_of_that_name_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"altered")
    with pytest.raises(SourceError, match="the manifest says"):
        DataFolder(tmp_path, source("a.txt", b"original")).read("a.txt")
    with pytest.raises(SourceError, match="is missing"):
        DataFolder(tmp_path, source("c.txt", b"")).read("c.txt")
    with pytest.raises(SourceError, match="name its origin"):
        DataFolder(tmp_path, {}).read("c.txt")


def test_an_evaluation_file_cannot_be_trained_on(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_bytes(b"x")
    folder = DataFolder(tmp_path, source("e.txt", b"x", use="evaluate"))
    with pytest.raises(SourceError, match="evaluation only"):
        folder.read("e.txt")
    assert folder.read("e.txt", use="evaluate") == b"x"
    assert folder.used == {}


def test_an_article_is_on_one_side_however_its_title_is_written() -> None:
    assert splits.held_out("Doctor_Who") == splits.held_out("Doctor Who") == splits.held_out("doctor who")
    share = sum(splits.held_out(f"Article {n}") for n in range(4_000)) / 4_000
    assert share == pytest.approx(splits.HELD_OUT_PERCENT / 100, abs=0.03)


def words(first: int, last: int) -> str:
    return " ".join(f"word{n}" for n in range(first, last))


def test_thirteen_shared_words_stop_the_run_and_twelve_do_not() -> None:
    known = splits.gram_set([words(0, 20), "Who first isolated cannabidiol from cannabis?"])
    assert len(known) == 20 - splits.GRAM + 1 + 1
    splits.refuse_contamination([words(0, 12), "unrelated"], known, "test")
    with pytest.raises(splits.ContaminationError, match="test: this training text shares 13 words"):
        splits.refuse_contamination(["fine", "Before. " + words(3, 16).replace(" ", ", ").upper()], known, "test")
    with pytest.raises(splits.ContaminationError, match="shares 13 words"):
        splits.refuse_contamination(["who first isolated: Cannabidiol from cannabis"], known, "test")
    with pytest.raises(splits.ContaminationError, match="no evaluation text"):
        splits.refuse_contamination(["anything"], splits.gram_set([]), "test")


def test_grams_are_the_same_in_every_process() -> None:
    # Python salts the hashes of its strings; these values are of another process.
    assert splits.grams(words(0, 14)).tolist() == [11900493738237650631, 16151116149408944054]
    assert splits.grams("-lrb- " + words(0, 13) + " -RRB-").tolist() == [11900493738237650631]
    assert splits.grams("five words are not enough").tolist() == []


def test_rows_that_share_a_gram_in_any_of_their_texts_are_dropped() -> None:
    known = splits.gram_set([words(0, 13)])
    rows = [("a question", words(5, 30)), ("a question", "x " + words(0, 13)), (words(0, 13), "passage"), ("b", "c")]
    assert splits.clean(rows, lambda row: row, known) == [rows[0], rows[3]]
    assert splits.clean(rows, lambda row: row[0], known) == [rows[0], rows[1], rows[3]]


def test_a_set_of_grams_is_a_set() -> None:
    first, second = splits.gram_set([words(0, 13)]), splits.gram_set([words(0, 14)])
    both = first | second
    assert (len(first), len(second), len(both)) == (1, 2, 2)
    assert all(int(gram) in both for gram in second.values)
    assert int(second.values[0]) + 1 not in both


def test_a_template_of_many_articles_is_not_text_of_the_held_out_ones() -> None:
    held = [title for title in (f"Article {n}" for n in range(200)) if splits.held_out(title)]
    free = [title for title in (f"Article {n}" for n in range(200)) if not splits.held_out(title)]
    own, template = words(100, 113), words(0, 13)
    rows = [
        (held[0], (own, template)),
        (held[0], (own,)),
        *((title, (template,)) for title in free[: evaluation.TEMPLATE_ARTICLES - 1]),
    ]
    assert evaluation.held_out_grams(rows).tolist() == splits.grams(own).tolist()
    assert set(evaluation.held_out_grams(rows[:-1]).tolist()) == {*splits.grams(own).tolist(), *splits.grams(template).tolist()}


def test_every_string_of_an_evaluation_file_is_read() -> None:
    row = json.dumps({"quote": "a b", "answers": ["c", {"d": "e"}], "n": 1})
    assert list(evaluation.strings_of("g.jsonl", row + "\n\n" + row)) == ["a b", "c", "e"] * 2
    assert list(evaluation.strings_of("g.json", f"[{row}]")) == ["a b", "c", "e"]
    assert list(evaluation.strings_of("g.tsv", "a\tb c\nd")) == ["a", "b c", "d"]


def test_the_check_covers_goldens_evaluation_files_and_every_reading_set() -> None:
    manifest = read_manifest()
    evaluated = [name for name, row in manifest.items() if row.use == "evaluate"]
    for part in ("nq_open_oracle", "qed_dev", "wikiqa", "climate_fever", "covidfact", "policyqa"):
        assert any(part in name for name in evaluated), part
    assert all(name.endswith(evaluation.READABLE) for name in evaluated), "a kind of file that is not read is not checked"
    assert set(evaluation.READING) <= set(manifest)
    assert len(evaluation.golden_files(ROOT)) >= 3


def test_without_goldens_there_is_no_check(tmp_path: Path) -> None:
    with pytest.raises(splits.ContaminationError, match="no golden questions"):
        evaluation.golden_files(tmp_path)


def test_an_article_that_real_users_ask_about_is_not_trained_on() -> None:
    free = next(title for title in (f"Article {n}" for n in range(20)) if not splits.held_out(title))
    held = next(title for title in (f"Article {n}" for n in range(200)) if splits.held_out(title))
    assert splits.trainable(free, frozenset())
    assert not splits.trainable(free, frozenset({splits.title_key(free)}))
    assert not splits.trainable(held, frozenset())


def test_bm25_ranks_the_passage_with_the_rare_word_first() -> None:
    index = Bm25(["the cat sat", "the dog sat", "a zebra sat with the cat"])
    assert index.top("Where did the zebra sit?", 2)[0] == 2
    assert index.top("nothing shared", 3) == []


def test_treebank_spacing_is_undone() -> None:
    assert detokenise("it 's -lrb- a `` test '' -rrb- , is n't it ?") == "it's (a \" test \") , isn't it?".replace(" ,", ",")
