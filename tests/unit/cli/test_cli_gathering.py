"""Files that are named by themselves: the same documents as with their folders, wrong ones refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.commands.ingest import ingest, look
from cli.documents.folder import read_file
from cli.documents.gathering import Part, gather
from cli.errors import EXIT_USAGE, CliError

COLLECTION = "collections/default"


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "sub").mkdir(parents=True)
    (folder / "mill.md").write_text("# Mill")
    (folder / "sub" / "bell.md").write_text("# Bell")
    return folder


def stored(folder: Path) -> dict[str, str]:
    return {f"{COLLECTION}/documents/{file.document_id}": f"{COLLECTION}/sources/{folder.name}" for file in look(folder, "").files}


def gathered(*files: Path, folders: tuple[Path, ...] = (), prefix: str = "", known: dict[str, str] | None = None) -> list[Part]:
    return gather({folder: look(folder, prefix) for folder in folders}, files, COLLECTION, prefix, known or {})


def documents(parts: list[Part]) -> list[tuple[str, str, str]]:
    return [(part.source.rpartition("/")[2], file.document_id, file.relative) for part in parts for file in part.content.files]


def test_a_file_alone_is_what_its_folder_makes_of_it(handbook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = documents(gathered(folders=(handbook,)))
    assert whole == [("handbook", "handbook~-mill.md", "mill.md"), ("handbook", "handbook~-sub~-bell.md", "sub/bell.md")]
    assert documents(gathered(handbook / "mill.md")) == whole[:1]
    monkeypatch.chdir(handbook / "sub")
    assert documents(gathered(Path("../mill.md"))) == whole[:1]
    # Nobody knows yet that a folder further up is the source.
    assert documents(gathered(Path("bell.md"))) == [("sub", "sub~-bell.md", "bell.md")]


def test_a_file_that_a_folder_further_up_was_imported_with_stays_that_document(handbook: Path) -> None:
    bell = handbook / "sub" / "bell.md"
    assert documents(gathered(bell, known=stored(handbook))) == [("handbook", "handbook~-sub~-bell.md", "sub/bell.md")]
    # One of that name which something else brought is another document.
    other = dict.fromkeys(stored(handbook), f"{COLLECTION}/sources/elsewhere")
    assert documents(gathered(bell, known=other)) == [("sub", "sub~-bell.md", "bell.md")]
    # What was stored alone stays where it is.
    both = {**stored(handbook), f"{COLLECTION}/documents/sub~-bell.md": f"{COLLECTION}/sources/sub"}
    assert documents(gathered(bell, known=both)) == [("sub", "sub~-bell.md", "bell.md")]


def test_a_file_beside_its_folder_is_one_document(handbook: Path) -> None:
    bell = handbook / "sub" / "bell.md"
    parts = gathered(bell, bell, handbook / "mill.md", folders=(handbook,))
    assert documents(parts) == documents(gathered(folders=(handbook,)))


def test_several_sources_keep_their_own_documents(handbook: Path, tmp_path: Path) -> None:
    (tmp_path / "loose.txt").write_text("x")
    found = documents(gathered(tmp_path / "loose.txt", folders=(handbook,)))
    assert [source for source, _, _ in found] == ["handbook", "handbook", tmp_path.name]
    assert {source for source, _, _ in documents(gathered(tmp_path / "loose.txt", folders=(handbook,), prefix="p"))} == {"p"}


def test_two_files_that_would_be_one_document_are_refused(handbook: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "handbook"
    other.mkdir(parents=True)
    (other / "mill.md").write_text("# Another mill")
    with pytest.raises(CliError, match=r"would be one document, handbook~-mill\.md") as caught:
        gathered(folders=(handbook, other))
    assert caught.value.exit_code == EXIT_USAGE
    assert "--prefix" in caught.value.remedy


def test_a_file_that_cannot_become_a_document_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / ".notes.md").write_text("x")
    (tmp_path / "empty.md").touch()
    (tmp_path / "closed.md").write_text("x")
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        # The tests may run as root, whom no permission stops.
        if path.name == "closed.md":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    found = {}
    for name in ("photo.jpg", ".notes.md", "empty.md", "closed.md"):
        content = read_file(tmp_path / name, "p", name)
        assert not content.files
        assert not content.others
        (refused,) = content.refused
        found[refused.relative] = (refused.reason, refused.document_id)
    assert found == {
        "photo.jpg": ("MEDIA_TYPE_UNSUPPORTED", "p~-photo.jpg"),
        ".notes.md": ("MEDIA_TYPE_UNSUPPORTED", "p~-.notes.md"),
        "empty.md": ("DOCUMENT_EMPTY", "p~-empty.md"),
        "closed.md": ("DOCUMENT_UNREADABLE", "p~-closed.md"),
    }


@pytest.mark.parametrize(
    ("names", "prune", "words"),
    [
        (["mill.md", "gone.md"], False, "gone.md cannot be read: No such file"),
        (["gone"], True, "gone cannot be read: No such file"),
        ([".", "mill.md"], True, "mill.md is a file"),
    ],
)
def test_a_call_that_means_nothing_imports_nothing(handbook: Path, names: list[str], prune: bool, words: str) -> None:
    with pytest.raises(CliError, match=words) as caught:
        # Without a mesh: it is refused before one is asked for.
        ingest([handbook / name for name in names], prune=prune, var=handbook / "var")
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.remedy
