"""`interopsim vectors DIR` hands out the files as they are committed, and touches nothing else."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from interop_server.cli import main
from tests.vectors.documents import FOLDER

HANDED_OUT = {path.name: path.read_bytes() for path in (*FOLDER.glob("*.json"), FOLDER / "README.md")}


def vectors(folder: Path) -> Result:
    return CliRunner().invoke(main, ["vectors", str(folder)])


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("times", [1, 2])
def test_all_files_are_written(tmp_path: Path, times: int) -> None:
    """Byte for byte, into a folder that is made; another time, they are replaced."""
    folder = tmp_path / "new" / "vectors"
    for _ in range(times):
        result = vectors(folder)
        assert (result.exit_code, sorted(result.stdout.split())) == (0, sorted(HANDED_OUT))
        assert written(folder) == HANDED_OUT
        (folder / "jids.json").write_text("of an earlier release")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """It says which ones are in the way, and writes nothing."""
    names = ["notes\x1b.txt", "plan.md", "sketch.png", "zoo.json"]
    for name in names:
        (tmp_path / name).write_text("mine")
    result = vectors(tmp_path)
    assert result.exit_code == 1
    assert "has other files: notes" in result.stderr and "plan.md, sketch.png and 1 more." in result.stderr
    assert "\x1b" not in result.stderr
    assert "Name a folder that is empty, or not there yet." in result.stderr
    assert sorted(written(tmp_path)) == sorted(names)


def test_the_readme_of_something_else_is_kept(tmp_path: Path) -> None:
    """A new project has that one file."""
    (tmp_path / "README.md").write_text("# My client\n")
    result = vectors(tmp_path)
    assert result.exit_code == 1
    assert "has other files: README.md." in result.stderr
    assert written(tmp_path) == {"README.md": b"# My client\n"}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """With the reason that the system gives."""
    (tmp_path / "jids.json").mkdir()
    result = vectors(tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path} cannot be written to: Is a directory. Name another folder." in result.stderr


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """DIR is a folder."""
    (tmp_path / "file").write_text("")
    result = vectors(tmp_path / "file")
    assert result.exit_code == 2
    assert "is a file" in result.stderr


def test_the_help_has_an_example() -> None:
    """As every command's has."""
    assert "Example: interopsim vectors" in CliRunner().invoke(main, ["vectors", "--help"]).stdout
