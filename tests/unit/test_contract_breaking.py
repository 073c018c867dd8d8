"""What `make lint` says of a change to a released contract: in v1 nothing may go, in v1alpha1 anything may."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proto_sources import PROTOS

BUF = Path(sys.executable).with_name("buf")
RELEASED = "released.binpb"

Change = Callable[[str, str, str], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The contract and its settings, with an image of it as if it had just been released."""
    shutil.copy(PROTOS / "buf.yaml", tmp_path)
    shutil.copytree(PROTOS / "interop_api", tmp_path / "interop_api")
    buf(tmp_path, "build", "--exclude-source-info", "--output", RELEASED, check=True)
    return tmp_path


@pytest.fixture
def change(folder: Path) -> Change:
    def replace(file: str, old: str, new: str) -> None:
        path = folder / "interop_api" / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    return replace


def buf(folder: Path, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=folder, capture_output=True, text=True, check=check)


def complaints(folder: Path) -> str:
    compared = buf(folder, "breaking", "--against", RELEASED)
    assert (compared.returncode == 0) == (compared.stdout == ""), compared.stderr
    return compared.stdout


def test_what_was_released_does_not_break_itself(folder: Path) -> None:
    assert complaints(folder) == ""


def test_a_field_that_goes_is_caught(folder: Path, change: Change) -> None:
    """Although its number is reserved: a client that was built against the release still sends it."""
    change("v1/stanza.proto", "  // Id of the ping.\n  uint64 id = 1;\n", "  reserved 1;\n")
    assert 'Previously present field "1" with name "id" on message "Pong" was deleted' in complaints(folder)


def test_another_name_number_or_type_is_caught(folder: Path, change: Change) -> None:
    change("v1/interop.proto", "string terms_id = 1;", "string version = 1;")
    change("v1/account.proto", "rpc DeleteAccount(", "rpc EndAccount(")
    change("v1/media.proto", "uint64 max_blob_bytes = 4;", "uint32 max_blob_bytes = 4;")
    found = complaints(folder)
    assert all(name in found for name in ("terms_id", "DeleteAccount", "max_blob_bytes"))


def test_a_new_field_is_not(folder: Path, change: Change) -> None:
    field = "  // Id of the ping.\n  uint64 id = 1;\n"
    change("v1/stanza.proto", field, field + "  // When.\n  optional int64 at_ms = 900;\n")
    assert complaints(folder) == ""


def test_what_is_called_alpha_may_change(folder: Path, change: Change) -> None:
    change("admin/v1alpha1/clock.proto", "int64 advance_ms = 1;", "int64 by_ms = 1;")
    assert complaints(folder) == ""
