"""The contract in other languages: stubs are generated and compiled wherever there is a compiler."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stubs.__main__ import main
from tests.stubs.check import Outcome, check
from tests.stubs.languages import LANGUAGES, Go, Java, Language, Python, TypeScript
from tests.stubs.summary import MISSING

GOOD = """\
syntax = "proto3";
package thing.v1;
option go_package = "interopsim.dev/thing/v1;thingv1";
option java_multiple_files = true;
option java_package = "dev.interopsim.thing.v1";
message Thing {
  string name = 1;
}
"""


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    folder = tmp_path / "protos"
    folder.mkdir()
    (folder / "thing.proto").write_text(GOOD)
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_the_stubs_compile(language: Language, record_property: Callable[[str, object], None]) -> None:
    """In Python always; in the others where their tools are, and otherwise the end of the run says what is missing."""
    result = check(language)
    assert result.outcome is not Outcome.BROKEN, result.detail
    if result.outcome is Outcome.MISSING:
        record_property(MISSING, f"{result.language} ({result.detail})")
    assert result.outcome is Outcome.COMPILED or not isinstance(language, Python)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_stubs_that_do_not_compile_are_told(language: Language, protos: Path, tmp_path: Path) -> None:
    """A contract that no compiler takes is broken in every language that has its tools."""
    (protos / "thing.proto").write_text(GOOD.replace("string name", "Absent name"))
    result = check(language, protos, tmp_path / "stubs")
    expected = Outcome.MISSING if language.missing() else Outcome.BROKEN
    assert (result.outcome, "Absent" in result.detail) == (expected, expected is Outcome.BROKEN)


def test_a_name_that_python_cannot_import_is_told(protos: Path, tmp_path: Path) -> None:
    """The proto compiler takes a folder `1st`, and Python does not."""
    (protos / "1st").mkdir()
    (protos / "1st" / "other.proto").write_text(GOOD.replace("Thing", "Other"))
    (protos / "thing.proto").write_text(
        GOOD.replace("message", 'import "1st/other.proto";\nmessage').replace("string name", "Other name")
    )
    result = check(Python(), protos, tmp_path / "stubs")
    assert (result.outcome, "SyntaxError" in result.detail) == (Outcome.BROKEN, True)


def test_a_tool_that_is_not_there_is_named_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], protos: Path, tmp_path: Path
) -> None:
    """With nothing but Python, `make stubs` says for each other language what to install, and exits with 0."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([], protos, tmp_path / "stubs") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["Python", "TypeScript", "Go", "Java"]
    assert lines[0].endswith("generated and compiled")
    for line, tool, packages in zip(
        lines[1:], ("node", "go", "javac"), ("npm", "golang-go", "libgrpc-java"), strict=True
    ):
        assert "not compiled: no " in line
        assert f"no {tool}" in line and packages in line.partition("to get it: ")[2]


def test_broken_stubs_make_the_command_fail(capsys: pytest.CaptureFixture[str], protos: Path, tmp_path: Path) -> None:
    (protos / "thing.proto").write_text("no proto")
    assert main([], protos, tmp_path / "stubs") == 1
    assert "Python     broken: " in capsys.readouterr().out


def test_what_compiled_is_not_compiled_again(protos: Path, tmp_path: Path) -> None:
    """Until the contract changes."""
    stubs = tmp_path / "stubs"
    assert check(Python(), protos, stubs).detail == ""
    assert check(Python(), protos, stubs).detail == "as before"
    (protos / "thing.proto").write_text(GOOD.replace("name", "title"))
    assert check(Python(), protos, stubs).detail == ""


@pytest.mark.parametrize("language", [TypeScript(), Go(), Java()], ids=lambda language: language.name)
def test_a_language_says_how_to_get_its_tools(language: Language) -> None:
    assert language.how_to_get.startswith(f"{language.installer[0]} ")
    assert all(package in language.how_to_get for package in language.packages)
