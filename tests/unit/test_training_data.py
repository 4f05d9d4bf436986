"""The training data's rules: verified bytes, named licences, splits by article, no golden in training; without data or torch."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path

import pytest

from training import splits
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
    trained = [name for name, row in manifest.items() if row.use == "train"]
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


def test_thirteen_shared_words_with_a_golden_stop_the_run(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(20)]
    (tmp_path / "g.jsonl").write_text(json.dumps({"quote": " ".join(words), "answers": ["short"]}) + "\n", encoding="utf-8")
    golden = splits.golden_grams(tmp_path)
    assert len(golden) == 20 - splits.GRAM + 1
    splits.refuse_goldens([" ".join(words[:12]), "unrelated"], golden, "test")
    with pytest.raises(splits.ContaminationError, match="shares 13 words"):
        splits.refuse_goldens(["Before. " + ", ".join(words[3:16]).upper()], golden, "test")


def test_bm25_ranks_the_passage_with_the_rare_word_first() -> None:
    index = Bm25(["the cat sat", "the dog sat", "a zebra sat with the cat"])
    assert index.top("Where did the zebra sit?", 2)[0] == 2
    assert index.top("nothing shared", 3) == []


def test_treebank_spacing_is_undone() -> None:
    assert detokenise("it 's -lrb- a `` test '' -rrb- , is n't it ?") == "it's (a \" test \") , isn't it?".replace(" ,", ",")
