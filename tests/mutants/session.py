"""A run of pytest in a process of its own, forked from this one: warm libraries, cold code of the project."""

import contextlib
import gc
import importlib
import importlib.util
import multiprocessing
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

_LIBRARIES = (
    "aiohttp", "aiohttp.web", "aiosqlite", "cryptography.hazmat.primitives.asymmetric.rsa",
    "google.protobuf.json_format", "google.rpc.status_pb2", "grpc.aio", "grpc_reflection.v1alpha.reflection",
    "hypothesis", "joserfc.jwt", "oldmemo", "pytest_asyncio.plugin", "pytest_timeout", "rich.table", "xeddsa",
)  # fmt: skip
_OPTIONS = (
    "-q", "--no-header", "--no-summary", "--tb=no", "--strict-markers", "--timeout=600",
    "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:tests.evidence",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
_CONTEXT = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Code:
    """A module as it is to be imported."""

    name: str
    file: Path
    compiled: types.CodeType


class _Loader(SourceFileLoader):
    """Loads a module from what was compiled before."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name, str(code.file))
        self._code = code

    def get_code(self, fullname: str) -> types.CodeType:
        return self._code.compiled


@dataclass(frozen=True)
class Overlay(MetaPathFinder):
    """Finds one module in memory instead of on the disk; no file is written."""

    code: Code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != self.code.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.code.file, loader=_Loader(self.code))


def warm_up() -> None:
    """Imports what takes long and is the same in every session; nothing of the project."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # pytest collects garbage many times; what is there before need not be gone through


def start(root: Path, arguments: Sequence[str], plugin: object, code: Code | None = None) -> BaseProcess:
    """Starts pytest in a process of its own, which leads a process group and exits with pytest's code."""
    process = _CONTEXT.Process(target=_run, args=(root, arguments, plugin, code))
    process.start()
    return process


def stop(process: BaseProcess) -> None:
    """Kills a session and all that it has started, and takes away its files."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.join()
    shutil.rmtree(_folder(process.pid), ignore_errors=True)


def _folder(pid: int) -> Path:
    """Where a session keeps its files."""
    return Path(tempfile.gettempdir()) / f"mutant-{pid}"


def _run(root: Path, arguments: Sequence[str], plugin: object, code: Code | None) -> None:
    os.setsid()
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(silent, descriptor)
    sys.stdin, sys.stdout, sys.stderr = (open(silent, mode, closefd=False) for mode in "rww")  # noqa: SIM115
    os.chdir(root)
    if code is not None:
        sys.meta_path.insert(0, Overlay(code))
    _steady_hypothesis()
    folder = _folder(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os._exit(int(pytest.main([*_OPTIONS, f"--basetemp={folder}/pytest", *arguments], plugins=[plugin])))


def _steady_hypothesis() -> None:
    """The same examples each time, and none made smaller: a mutant is killed by the first that fails."""
    from hypothesis import HealthCheck, Phase, settings

    phases, checks = (Phase.explicit, Phase.generate), list(HealthCheck)
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=phases, suppress_health_check=checks
    )
    settings.load_profile("mutants")
