"""Names that are seen outside: values of enumerations, and names of files; pinned as they are."""

import pkgutil
from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module

import interop_protocol
import interop_server
from interop_protocol import state_files


def enumerations() -> Iterator[type[StrEnum]]:
    """All whose members are texts."""
    for package in (interop_server, interop_protocol):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            for each in vars(import_module(found.name)).values():
                if isinstance(each, type) and issubclass(each, StrEnum) and each.__module__ == found.name:
                    yield each


def test_members_are_called_as_they_are_told() -> None:
    """All of them, in their order."""
    assert {each.__name__: [member.value for member in each] for each in enumerations()} == {
        "Scope": ["each", "world", "node"],
        "Evidence": ["documented", "white paper", "observed", "analogous practice"],
        "Status": ["modelled", "simplified", "not_modelled"],
    }


def test_files_in_the_state_folder_are_known_by_their_endings() -> None:
    """Other releases look for them, too."""
    endings = state_files.READY_SUFFIX, state_files.LOG_SUFFIX, state_files.UNFINISHED_SUFFIX
    assert endings == (".json", ".log", ".new")
    assert state_files.STATE_VARIABLE == "INTEROPSIM_STATE"
