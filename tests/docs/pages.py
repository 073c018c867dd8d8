"""The pages for people, as text: their blocks of code, commands, headings and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
"""Every page by its path in the repository."""
GENERATED = "docs/commands.md"
"""The page that is written from the commands themselves."""

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    kind: str
    """`sh`: commands; `console`: commands after `$`, with what they print; or the language of a file."""
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a page, and what the page shows of its output."""

    place: str
    text: str
    shown: str | None
    """None if the page shows nothing."""


def blocks_of(page: str) -> list[Block]:
    """Returns the blocks of a page, in order, without the indentation that lists give them."""
    text = PAGES[page].read_text()
    found = []
    for match in _FENCE.finditer(text):
        indent, kind, body = match.groups()
        body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, kind, body))
    return found


def commands_of(block: Block) -> list[Command]:
    """Returns the commands of a block: each line of `sh`, or each `$` of `console` with what follows."""
    if block.kind == "sh":
        lines = block.text.replace("\\\n", "").splitlines()
        return [Command(block.place, line, None) for line in lines if line and not line.startswith("#")]
    if block.kind == "console":
        parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
        return [Command(block.place, part.partition("\n")[0], part.partition("\n")[2].rstrip("\n")) for part in parts]
    return []


def inline_commands(page: str) -> list[str]:
    """Returns what stands in backticks within the prose and begins with `interopsim`."""
    prose = _FENCE.sub("", PAGES[page].read_text())
    return [" ".join(code.split()) for code in re.findall(r"`(interopsim [^`]+)`", prose)]


def links_of(page: str) -> list[str]:
    """Returns the targets of a page's links and pictures."""
    return links_in(PAGES[page].read_text())


def links_in(text: str) -> list[str]:
    """Returns the targets of links and pictures, but for those within code."""
    return _LINK.findall(_FENCE.sub("", text))


def anchors_of(path: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
