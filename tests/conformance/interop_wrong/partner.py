"""`python -m interop_wrong.partner NAME …`: the sample of a messenger's server with one defect; `--list` shows them.

Further arguments are those of `python -m partner_server`.
"""

import importlib
import pkgutil
import sys

import interop_wrong.partners
from interop_wrong.register import Wrong, wrong_partners
from partner_server.cli import main as serve


def load() -> dict[str, Wrong]:
    """Returns all wrong servers, by name."""
    for module in pkgutil.iter_modules(interop_wrong.partners.__path__):
        importlib.import_module(f"interop_wrong.partners.{module.name}")
    return dict(wrong_partners())


def main(arguments: list[str]) -> None:
    """Spoils the server in this process, and runs it."""
    known = load()
    if arguments == ["--list"]:
        for wrong in known.values():
            print(f"{wrong.name}: {wrong.sentence}")
        return
    if not arguments or arguments[0] not in known:
        sys.exit(f"Usage: python -m interop_wrong.partner NAME [OPTION…]. Names: {', '.join(known)}.")
    known[arguments[0]].spoil()
    serve(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
