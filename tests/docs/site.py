"""Builds the site: `python -m tests.docs.site`, or `make site`.

Links between the pages also lead to files beside `docs/`: the contract, samples, the code. Zensical takes one folder.
So all that is linked to is put together in `.site`, as it lies in the repository.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, links_in

SOURCE, HOME = ".site", "README.md"


def gather(target: Path) -> None:
    """Copies the README and whatever can be reached from it by links; links to folders become plain text."""
    shutil.rmtree(target, ignore_errors=True)
    waiting, seen = [ROOT / HOME], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        copy = target / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".md":
            shutil.copyfile(file, copy)
            continue
        text = file.read_text()
        for link in links_in(text):
            if "://" in link or link.startswith("#"):
                continue
            linked = (file.parent / link.partition("#")[0]).resolve()
            if linked.is_dir():
                text = re.sub(rf"\[((?:[^\[\]])*)\]\({re.escape(link)}\)", r"\1", text)
            else:
                waiting.append(linked)
        copy.write_text(text)


def build(folder: Path) -> int:
    """Gathers the pages and builds the site in a folder that has mkdocs.yml.

    Returns:
        The status of Zensical, which is not 0 when a link leads nowhere.
    """
    gather(folder / SOURCE)
    return render(folder)


def render(folder: Path) -> int:
    """Builds the site of pages that have been gathered."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "mkdocs.yml"]
    return subprocess.run(command, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(build(ROOT))
