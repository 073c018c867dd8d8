"""Every command and snippet of the pages does what its page says; what is not run here is on a list with its reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop_server.fault_file import load_faults
from interop_workbench.cast import load_cast
from tests.docs.pages import GENERATED, PAGES, Block, Command, blocks_of, commands_of
from tests.docs.shell import ANY_PORTS, Place, compare

pytestmark = pytest.mark.timeout(300)

ELSEWHERE = {
    "docs/conformance.md": "tests/conformance/test_documented_commands.py runs them, and the whole runs with them.",
    "docs/write-your-own-client.md": "tests/conformance/test_own_client_page.py runs two of them and reads the others.",
    "docs/faults.md": "tests/e2e/operator/test_faults_command_line.py runs them, with a messenger of their integrator.",
    GENERATED: "It is what the commands print.",
}
"""Pages whose commands other tests run."""

NOT_RUN = {
    "make demo": "tests/e2e/operator/test_demo.py plays the story.",
    "make test": "This is one of its tests.",
    "make up ARGS=--people": "The simulator of these tests is started like that, on free ports.",
    "source .venv/bin/activate": "The tests run in that environment.",
    "make threats": "Minutes long; `make test` runs each threat, tests/threats.",
    "interopsim doctor": "tests/e2e/operator/test_life.py runs it; what it finds depends on the machine.",
    'interopsim conformance client --command "python -m interop_driver"': "tests/conformance judges the SDK.",
}
"""Commands that are not run here, each with the reason."""

FAILS = "# This test fails.\n"
"""How a test begins that the page shows for its failure; what it shows is the block after it."""
APART = {"docs/running.md", "docs/ci.md"}
"""Pages that start simulators, and so begin where none runs."""


def commands(page: str) -> list[Command]:
    """The commands of a page that are run here."""
    found = [command for block in blocks_of(page) for command in commands_of(block)]
    return [command for command in found if command.text.partition("  #")[0].strip() not in NOT_RUN]


def snippets(page: str, *, of_pytest: bool) -> list[Block]:
    """The Python of a page: tests, or what one types into `python -m asyncio`."""
    found = [block for block in blocks_of(page) if block.kind == "python" and not block.text.startswith(FAILS)]
    return [block for block in found if ("def test_" in block.text) is of_pytest]


@pytest.fixture(scope="module")
def with_people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place where one simulator runs for all pages, with people."""
    place = Place.make(tmp_path_factory.mktemp("checkout"))
    place.run(f"interopsim start --people --ui-control --trace {ANY_PORTS}")
    yield place
    place.run("interopsim stop --all")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """A place where no simulator runs; none is left."""
    place = Place.make(tmp_path)
    yield place
    place.run("interopsim stop --all || true")


@pytest.mark.parametrize("page", [page for page in PAGES if page not in {*ELSEWHERE, *APART} and commands(page)])
def test_the_commands_of_a_page_run(page: str, with_people: Place) -> None:
    """One after the other, and print what the page shows."""
    with_people.play(commands(page))


@pytest.mark.parametrize("page", sorted(APART))
def test_the_commands_of_a_page_that_starts_simulators_run(page: str, alone: Place) -> None:
    """One after the other, and print what the page shows."""
    alone.play(commands(page))


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page, of_pytest=False)])
def test_the_snippets_of_a_page_run(page: str, with_people: Place) -> None:
    """One after the other, as in one session of `python -m asyncio`."""
    with_people.play_python([block.text for block in snippets(page, of_pytest=False)])


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page, of_pytest=True)])
def test_the_tests_of_a_page_pass(page: str, pytester: pytest.Pytester) -> None:
    """Each block is a file; together they are a suite."""
    blocks = snippets(page, of_pytest=True)
    for block in blocks:
        (pytester.path / f"test_{block.line}.py").write_text(block.text)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", timeout=120)
    result.assert_outcomes(passed=sum(block.text.count("def test_") for block in blocks))


def test_a_failure_shows_what_the_page_shows(pytester: pytest.Pytester) -> None:
    """Assertion, decisions and wire."""
    blocks = blocks_of("docs/testing.md")
    [at] = [number for number, block in enumerate(blocks) if block.text.startswith(FAILS)]
    pytester.makepyfile(blocks[at].text)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", timeout=120)
    result.assert_outcomes(failed=1)
    compare(Command(blocks[at].place, "pytest", blocks[at + 1].text), result.stdout.str())


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE])
def test_the_files_of_a_page_can_be_used(page: str, tmp_path: Path) -> None:
    """Casts and faults are taken as they stand."""
    for block in blocks_of(page):
        if block.kind == "toml":
            file = tmp_path / "file.toml"
            file.write_text(block.text)
            assert load_faults(file) if "[[faults]]" in block.text else load_cast(file)


def test_every_block_is_of_a_known_kind() -> None:
    """What is not run says so by being no `sh`, `console` or `python`."""
    known = {"sh", "console", "python", "toml", "json", "text", "yaml", "http", ""}
    assert {block.kind for page in PAGES for block in blocks_of(page)} <= known


def test_the_list_of_what_is_not_run_is_current() -> None:
    """Whatever is on it stands on some page."""
    found = [command for page in PAGES for block in blocks_of(page) for command in commands_of(block)]
    assert set(NOT_RUN) <= {command.text.partition("  #")[0].strip() for command in found}
    assert set(ELSEWHERE) <= set(PAGES)
