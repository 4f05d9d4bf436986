"""`ragmesh train` before any network: what is read of an owner's documents, how they are split, how two gradings are compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training import ROOT
from training.adapt_compare import compare
from training.adapt_documents import OwnDocument, read_document, read_folder
from training.adapt_material import Material, MaterialError, gather, goldens, split

SAMPLE = ROOT / "corpus" / "chatcbd"


def test_markdown_keeps_headings_and_running_text_only() -> None:
    text = "---\ntitle: On *oils*\n---\n# On oils\n\nFirst **words** here.\n\n## Kinds\n\n- one kind\n"
    text += "\n| a | b |\n|---|---|\n| c | d |\n"
    document = read_document(text.encode(), "oils/on-oils.md")
    assert document.title == "On *oils*"
    assert document.sections == [("On oils", "First words here."), ("Kinds", "one kind")]


def test_html_is_read_without_the_furniture_of_a_page() -> None:
    page = b"<title>t</title><nav><p>menu</p></nav><main><h1>Oils</h1><p>Some <b>words</b>.</p>"
    page += b"<script>x</script><ul><li>a</li></ul></main>"
    document = read_document(page, "oils.html")
    assert document.title == "Oils"
    assert document.sections == [("", "Some words.\n\na")]


def test_plain_text_is_titled_by_its_name() -> None:
    document = read_document("first\nline\n\nsecond".encode("utf-16"), "my_first-text.txt")
    assert document.title == "My first text"
    assert document.sections == [("", "first line\n\nsecond")]


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("Words of a document.", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hidden.md").write_text("Not ours.", encoding="utf-8")
    found, refused = read_folder(tmp_path)
    assert [document.path for document in found] == ["good.md"]
    assert len(refused) == 1
    assert refused[0].startswith("empty.txt")


def test_a_split_is_by_whole_documents_and_holds_when_more_come() -> None:
    few = split(f"{n}.md" for n in range(40))
    counts = {part: sum(found == part for found in few.values()) for part in ("train", "tune", "test")}
    assert counts == {"train": 24, "tune": 6, "test": 10}
    assert few == split(f"{n}.md" for n in reversed(range(40)))
    more = split(f"{n}.md" for n in range(44))
    moved = sum(few[path] != more[path] for path in few)
    assert moved <= 4
    assert set(split(["a", "b", "c", "d"]).values()) == {"train", "test"}


@pytest.fixture(scope="module")
def material() -> Material:
    return gather(read_folder(SAMPLE / "evidence")[0])


def test_questions_belong_to_sections_of_their_part(material: Material) -> None:
    texts = {section.key: section.text for section in material.sections}
    assert len(material.questions["train"]) > len(material.questions["test"]) > 20
    for part, questions in material.questions.items():
        for question in questions:
            assert material.part_of[question.document] == part
            assert texts[question.section] == question.reading.passage
            assert question.answer
            assert question.section.startswith(question.document)


def test_too_little_is_refused_in_words() -> None:
    with pytest.raises(MaterialError, match="too few"):
        gather([OwnDocument("a.md", "A", [("", "One sentence.")])])
    empty = [OwnDocument(f"{n}.md", "A", [("", "- - -")]) for n in range(8)]
    with pytest.raises(MaterialError, match="plain sentences"):
        gather(empty)


def test_only_written_questions_about_held_out_documents_are_asked(material: Material, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    rows = []
    for section in material.sections:
        quote = section.text.partition(". ")[0]
        rows.append({"question": "What of it?", "document": section.document, "quote": quote})
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    found = goldens([file], material)
    assert found
    assert {material.part_of[question.document] for question in found} == {"test"}
    file.write_text("{", encoding="utf-8")
    with pytest.raises(MaterialError, match="line 1"):
        goldens([file], material)


def test_a_difference_is_sure_only_where_documents_agree() -> None:
    before = np.zeros(200)
    documents = [str(n // 10) for n in range(200)]
    everywhere = before.copy()
    everywhere[::10] = 1.0
    once = before.copy()
    once[:10] = 1.0
    sure, chance = compare(before, everywhere, documents), compare(before, once, documents)
    assert sure.after > chance.after > 0
    assert sure.low > 0
    assert sure.better == 1.0
    assert chance.low == 0.0
    assert chance.better < 0.95
    assert compare(before, before, documents).better == 0.0
