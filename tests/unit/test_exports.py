"""What a module says that it offers, `__all__`, is there."""

import importlib

import pytest

from tests.mutants.rooms import ROOT, module_name, sources


def _offering() -> list[str]:
    """The modules with `__all__`."""
    named = (path.relative_to(ROOT).as_posix() for path in sources(ROOT) if "\n__all__ = " in path.read_text())
    return [module_name(path) for path in named]


def test_there_are_such_modules() -> None:
    """Signal sessions are used by their package's own names."""
    assert {"interop_client.signal", "interop_server.core.errors"} <= set(_offering())


@pytest.mark.parametrize("name", _offering())
def test_what_a_module_offers_is_there(name: str) -> None:
    """Each name, and once."""
    module = importlib.import_module(name)
    offered: list[str] = module.__all__
    assert [each for each in offered if not hasattr(module, each)] == []
    assert len(set(offered)) == len(offered)
