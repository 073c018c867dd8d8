"""What a flag is that nobody sets, as literals: whoever leaves it out counts on it.

Limits that an operator can set stand in limits.toml.
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType

from tests.mutants.rooms import module_name, rooms

FLAGS = {
    "signal.x3dh PreKeyBundle kem_withdrawn": False,
    "interop_server.storage open_store is_emptied": False,
    "interop_server.storage open_server_store is_emptied": False,
    "postgres.database prepare_database is_emptied": False,
    "postgres.holds PostgresHolds.take waits": False,
    "postgres.prekeys PostgresPreKeys.take_bundles with_kem": True,
    "postgres.store PostgresStore.open is_emptied": False,
    "sqlite.database prepare_database is_emptied": False,
    "sqlite.prekeys SqlitePreKeys.take_bundles with_kem": True,
    "sqlite.store SqliteStore.open is_emptied": False,
    "core.faults Event is_stanza": False,
    "core.limits Limits kem_prekeys": False,
    "core.messages MailboxItem is_dropped": False,
    "core.messages Stored other_recipient": False,
    "core.model Partner proxy_allowed": False,
    "core.model Partner group_messaging": False,
    "core.model TakenBundle kem_is_last_resort": False,
    "core.model TakenBundle kem_withdrawn": False,
    "core.model InteropSettings enabled": False,
    "core.model InteropSettings terms_shown": False,
    "core.model InteropSettings terms_accepted": False,
    "core.model ReachabilitySettings enabled": True,
    "core.ports SharedHolds.take waits": False,
    "core.rules Ports is_trace_kept": False,
    "core.trace Trace is_kept": False,
    "keys.prekeys PreKeys.take with_kem": True,
    "keys.prekeys PreKeys.take_missing with_kem": True,
    "keys.store PreKeyStore.take_bundles with_kem": True,
    "operator.clock_control ClockControl is_noted": True,
    "operator.world World is_shared": False,
}
"""By module, function or class, and parameter: all of the code that mutants are made of."""


def _callables(module: ModuleType) -> Iterator[tuple[str, Callable[..., object]]]:
    for thing in vars(module).values():
        if getattr(thing, "__module__", "") != module.__name__ or not hasattr(thing, "__qualname__"):
            continue
        yield thing.__qualname__, thing
        for name, part in vars(thing).items() if inspect.isclass(thing) else ():
            function = getattr(part, "__func__", part)
            if inspect.isfunction(function) and name not in ("__init__", "__new__"):  # those are what the class takes
                yield function.__qualname__, function


def _flags(module: ModuleType) -> dict[str, bool]:
    found, place = dict[str, bool](), ".".join(module.__name__.split(".")[-2:])
    for name, thing in _callables(module):
        try:
            parameters = inspect.signature(thing).parameters.values()
        except (TypeError, ValueError):
            continue
        found |= {f"{place} {name} {each.name}": each.default for each in parameters if isinstance(each.default, bool)}
    return found


def test_a_flag_that_nobody_sets_is_what_it_was() -> None:
    """Each, and none that is not listed here."""
    modules = [importlib.import_module(module_name(file)) for room in rooms() for file in room.files]
    assert {name: value for module in modules for name, value in _flags(module).items()} == FLAGS
