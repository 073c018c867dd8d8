"""The files that a person has got: each has a place of its own, whatever its sender says, and all have a bound."""

from pathlib import Path

import pytest

from interop_workbench import kept_files
from interop_workbench.kept_files import KeptFiles


@pytest.mark.parametrize("name", ["Ada", "..", ".", "a/b", "\0", "x" * 64, "\ud800"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Neither a person's, nor a peer's, nor an id."""
    files = KeptFiles(tmp_path, name)
    for peer, message_id in (("31-1@interop", "m1"), ("../..", "/etc/passwd"), ("\ud800", "\0")):
        path = files.path_of(peer, message_id)
        assert path.parent.parent == tmp_path and path.resolve().is_relative_to(tmp_path)


def test_peers_with_the_same_ids_have_files_of_their_own(tmp_path: Path) -> None:
    """One cannot put a file into the chat of another; people's files lie apart, too."""
    files = KeptFiles(tmp_path, "Ada")
    paths = {
        files.path_of("31-1@interop", "m"),
        files.path_of("31-2@interop", "m"),
        KeptFiles(tmp_path, "ada").path_of("31-1@interop", "m"),
    }
    assert len(paths) == 3


def test_the_oldest_go_when_there_are_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stays, however long it is; one that comes again is new."""
    monkeypatch.setattr(kept_files, "MAX_KEPT_BYTES", 10)
    files = KeptFiles(tmp_path, "Ada")
    first, second, third, long = (files.path_of("31-1@interop", name) for name in ("1", "2", "3", "4"))
    for path in (first, second, first, third):
        path.write_bytes(b"four")
        files.keep(path)
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)
    long.write_bytes(b"more than ten bytes")
    files.keep(long)
    assert (first.exists(), third.exists(), long.exists()) == (False, False, True)
