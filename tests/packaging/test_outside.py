"""The wheel at work: in a folder of somebody else's, as another user, without the checkout."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.conftest import ROOT, Outside

SIX_LINES = '''
def test_hello(alice, bob):
    """The example of the documentation."""
    bob.send(alice, "Hello, Zoë")
    received = alice.receive()
    alice.send(bob, "Hello yourself", reply_to=received)
    assert bob.receive().text == "Hello yourself"
'''
SUITE = ("run", "--", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_a_suite_of_another_user(outside: Outside, elsewhere: Path, another_user: dict[str, Any]) -> None:
    """`interopsim run -- python -m pytest`, in a folder with a space and letters beyond ASCII in its path."""
    (elsewhere / "test_hello.py").write_text(SIX_LINES)
    result = outside.run("interopsim", *SUITE, cwd=elsewhere, **another_user)
    assert "1 passed" in result.stdout
    whose = outside.run("python", "-c", "import os, interopsim; print(os.getuid(), interopsim.__file__)",
                        cwd=elsewhere, **another_user).stdout.split(maxsplit=1)  # fmt: skip
    assert int(whose[0]) == another_user.get("user", os.getuid()) and str(ROOT) not in whose[1]


def test_what_is_shipped_beside_the_code(outside: Outside, elsewhere: Path, another_user: dict[str, Any]) -> None:
    """Each proto can be compiled as `interopsim protos` writes it; vectors are handed out, and each page is printed."""
    written = outside.run("interopsim", "protos", "the contract", cwd=elsewhere, **another_user).stdout.split()
    *protos, partner = written
    assert (elsewhere / "the contract" / partner).read_bytes() == (ROOT / "protos/openapi/partner.yaml").read_bytes()
    assert len(protos) == len(list(ROOT.glob("protos/interop_api/**/*.proto")))
    for name in protos:
        compile_it = [sys.executable, "-m", "grpc_tools.protoc", "-I", "the contract", "-o", os.devnull, name]
        subprocess.run(compile_it, cwd=elsewhere, check=True)
    vectors = outside.run("interopsim", "vectors", "the vectors", cwd=elsewhere, **another_user).stdout.split()
    committed = {path.name: path.read_bytes() for path in ROOT.glob("protos/vectors/*")}
    assert {name: (elsewhere / "the vectors" / name).read_bytes() for name in vectors} == committed
    listed = outside.run("interopsim", "docs", cwd=elsewhere).stdout.splitlines()
    assert [line.split()[0] for line in listed] == sorted(
        [*(path.stem for path in ROOT.glob("docs/*.md")), "protos", "spec", "vectors"]
    )
    assert outside.run("interopsim", "docs", "faults", cwd=elsewhere).stdout == (ROOT / "docs/faults.md").read_text()


def test_what_cannot_be_handed_out_is_a_sentence(outside: Outside, elsewhere: Path) -> None:
    """A page that is not there, with the one that was meant; and a folder that is a file."""
    missing = outside.run("interopsim", "docs", "fautls", cwd=elsewhere, check=False)
    assert missing.returncode == 2 and "Did you mean faults?" in missing.stderr
    (elsewhere / "interop_api").write_text("")
    full = outside.run("interopsim", "protos", ".", cwd=elsewhere, check=False)
    assert full.returncode == 1 and "Name another folder." in full.stderr


@pytest.mark.timeout(180)
def test_the_demo(outside: Outside, elsewhere: Path, another_user: dict[str, Any]) -> None:
    """The whole story, by the wheel alone."""
    assert "Zoë" in outside.run("interopsim", "demo", "--text", "Hello Zoë", cwd=elsewhere, **another_user).stdout
