"""Folders as people have them: each file that cannot become a document is named with its reason, and stops nobody else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cli.commands.ingest import look
from cli.documents.folder import MAX_FILE_BYTES, FolderContent, read_folder
from cli.errors import CliError


def reasons(content: FolderContent) -> dict[str, str]:
    return {refused.relative: refused.reason for refused in content.refused}


def test_good_files_are_found_to_any_depth_with_type_and_id(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one.TXT").write_text("text")
    (tmp_path / "a" / "two.md").write_text("# x")
    (tmp_path / "a" / "b" / "three.htm").write_text("<p>x")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    content = read_folder(tmp_path, "docs")
    assert [(file.relative, file.media_type, file.document_id) for file in content.files] == [
        ("a/b/three.htm", "text/html", "docs~-a~-b~-three.htm"),
        ("a/two.md", "text/markdown", "docs~-a~-two.md"),
        ("one.TXT", "text/plain", "docs~-one.TXT"),
    ]
    assert content.others == 1
    assert not content.refused


def test_each_bad_file_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("# good")
    (tmp_path / "empty.md").touch()
    (tmp_path / "program.txt").write_bytes(b"\x7fELF\0\0\0\1")
    (tmp_path / "nowhere.md").symlink_to(tmp_path / "gone.md")
    (tmp_path / "self.md").symlink_to("self.md")
    os.mkfifo(tmp_path / "pipe.txt")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.write(b"x")
        file.truncate(MAX_FILE_BYTES + 1)
    content = read_folder(tmp_path, "p")
    assert [file.relative for file in content.files] == ["good.md"]
    assert reasons(content) == {
        "empty.md": "DOCUMENT_EMPTY",
        "program.txt": "MEDIA_TYPE_UNSUPPORTED",
        "nowhere.md": "DOCUMENT_UNREADABLE",
        "self.md": "DOCUMENT_UNREADABLE",
        "pipe.txt": "DOCUMENT_UNREADABLE",
        "huge.txt": "DOCUMENT_TOO_LARGE",
    }


def test_a_socket_is_no_document(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s.md"))
        assert reasons(read_folder(tmp_path, "p")) == {"s.md": "DOCUMENT_UNREADABLE"}


def test_200_megabytes_are_left_for_the_retriever_to_judge(tmp_path: Path) -> None:
    with (tmp_path / "large.txt").open("wb") as file:
        file.write(b"x")
        file.truncate(200 * 1024 * 1024)
    # NUL bytes after the first look are not seen here; the retriever knows its own limit and names it.
    with (tmp_path / "large.txt").open("r+b") as file:
        file.write(b"x" * 8192)
    content = read_folder(tmp_path, "p")
    assert [file.size for file in content.files] == [200 * 1024 * 1024]


def test_utf16_text_is_not_taken_for_binary(tmp_path: Path) -> None:
    (tmp_path / "windows.txt").write_text("Grüße", encoding="utf-16")
    assert len(read_folder(tmp_path, "p").files) == 1


def test_loops_of_folders_end_and_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "doc.md").write_text("x")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    content = read_folder(tmp_path, "p")
    assert sorted(file.relative for file in content.files) == ["a/doc.md", "b/doc.md"]
    assert reasons(content) == {"a/back": "DOCUMENT_UNREADABLE", "b/back": "DOCUMENT_UNREADABLE"}


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.md").write_text("x")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        # The tests may run as root, whom no permission stops.
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    content = read_folder(tmp_path, "p")
    assert [file.relative for file in content.files] == ["open.md"]
    assert reasons(content) == {"closed": "DOCUMENT_UNREADABLE"}


def test_a_name_that_is_no_text_is_shown_and_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.md")
    (tmp_path / name).write_text("x")
    (file,) = read_folder(tmp_path, "p").files
    assert file.relative == "caf\ufffd.md"
    assert file.document_id == "p~-caf~e9.md"
    assert file.path.read_text() == "x"


def test_hidden_files_and_folders_are_nobodys_documents(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("x")
    (tmp_path / ".draft.md").write_text("x")
    content = read_folder(tmp_path, "p")
    assert not content.files
    assert not content.refused


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_a_folder_that_is_none_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "file":
        path.write_text("x")
    if kind == "empty":
        path.mkdir()
    with pytest.raises(CliError) as caught:
        look(path, "")
    assert str(path) in caught.value.message
    assert caught.value.remedy
