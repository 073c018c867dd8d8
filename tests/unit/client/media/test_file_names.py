"""The name of a file from somebody else is harmless wherever it is stored, and is still the name where it can be."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_client.media.file_names import MAX_NAME_BYTES, UNNAMED, harmless_name


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("Grüße 👩‍🚀.pdf", "Grüße 👩‍🚀.pdf"),
        ("a" * 249 + ".txt", "a" * 249 + ".txt"),
        (".gitignore", ".gitignore"),
        ("", UNNAMED),
        (".", UNNAMED),
        ("..", UNNAMED),
        ("...", UNNAMED),
        (" . ", UNNAMED),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\Windows\\evil.exe", "evil.exe"),
        ("/etc/passwd", "passwd"),
        ("C:\\autoexec.bat", "autoexec.bat"),
        ("C:autoexec.bat", "C_autoexec.bat"),
        ("folder/", "folder"),
        ("a/..", UNNAMED),
        ("a\\..\\", UNNAMED),
        ("report.txt\0.exe", "report.txt.exe"),
        ("\0", UNNAMED),
        ("a\nb\x1b[2Jc.txt", "ab[2Jc.txt"),
        ("invoice_\u202efdp.exe", "invoice_fdp.exe"),
        ("report.txt:stream", "report.txt_stream"),
        ("report.txt. . ", "report.txt"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("COM1.tar.gz", "_COM1.tar.gz"),
        ("console.txt", "console.txt"),
        ("conin$", "_conin$"),
        ("CONOUT$.txt", "_CONOUT$.txt"),
        ("\u200d\u200c", UNNAMED),
        ("\ufe0f", UNNAMED),
        ("a/\u0301", UNNAMED),
        ("\U0001f9ec", "\U0001f9ec"),
        ("caf\udce9.txt", "caf\ufffd.txt"),
        ("\ud83d.txt", "_.txt"),
    ],
)
def test_names_are_made_harmless(name: str, harmless: str) -> None:
    assert harmless_name(name) == harmless


@pytest.mark.parametrize("name", ["x" * 300 + ".pdf", "ü" * 200 + ".pdf", "👋" * 80 + ".pdf", "x" * 252 + ". .pdf"])
def test_a_long_name_keeps_its_extension(name: str) -> None:
    """No character is cut in two."""
    shortened = harmless_name(name)
    assert len(shortened.encode()) <= MAX_NAME_BYTES
    assert shortened.endswith(".pdf") and shortened.startswith(name[:50])


def test_a_long_extension_is_cut_too() -> None:
    assert harmless_name("x." + "y" * 300) == "x." + "y" * 253
    assert harmless_name("." + "y" * 300) == "." + "y" * 254


@given(name=st.text(st.characters(), max_size=300) | st.text("./\\\0 :aCON\u202e\udcff\ud800", max_size=12))
def test_any_text_becomes_one_component_that_can_be_stored_and_sent(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """For Linux and for Windows; what is harmless already stays as it is."""
    harmless = harmless_name(name)
    assert 1 <= len(harmless.encode()) <= MAX_NAME_BYTES
    assert harmless_name(harmless) == harmless
    for path in (PurePosixPath(harmless), PureWindowsPath(harmless)):
        assert path.parts == (harmless,) and not path.is_absolute() and not path.drive
    assert not PureWindowsPath(harmless).is_reserved()
    folder = tmp_path_factory.getbasetemp()
    file = folder / harmless
    file.write_bytes(b"x")
    assert file.name in [path.name for path in folder.iterdir()]
    assert file.parent == folder == Path(os.path.normpath(file)).parent
    file.unlink()
