"""`python -m interop_wrong.client NAME`: the driver of the SDK with one defect; `--list` shows them."""

import importlib
import pkgutil
import sys

import interop_wrong.clients
from interop_driver.cli import main as drive
from interop_wrong.register import Wrong, wrong_clients


def load() -> dict[str, Wrong]:
    """Returns all wrong clients, by name."""
    for module in pkgutil.iter_modules(interop_wrong.clients.__path__):
        importlib.import_module(f"interop_wrong.clients.{module.name}")
    return dict(wrong_clients())


def main(arguments: list[str]) -> None:
    """Spoils the SDK in this process, and drives it."""
    known = load()
    if arguments == ["--list"]:
        for wrong in known.values():
            print(f"{wrong.name}: {wrong.sentence}")
        return
    if len(arguments) != 1 or arguments[0] not in known:
        sys.exit(f"Usage: python -m interop_wrong.client NAME. Names: {', '.join(known)}.")
    known[arguments[0]].spoil()
    drive([])


if __name__ == "__main__":
    main(sys.argv[1:])
