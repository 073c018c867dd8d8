"""`python -m tests.conformance.freeze NAME TITLE`: writes all checks that there are into a new profile of the kit.

A profile is frozen: once released, checks join a new one, and no old verdict changes.
"""

import sys
from pathlib import Path

from interop_conformance import catalogue, profile
from interop_conformance.check import Subject


def main(name: str, title: str) -> None:
    """Writes the file."""
    ids = sorted(check for subject in Subject for check in catalogue.load(subject))
    lines = [f'title = "{title}"', "checks = [", *(f'  "{each}",' for each in ids), "]"]
    Path(profile.__file__).with_name("profiles").joinpath(f"{name}.toml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
