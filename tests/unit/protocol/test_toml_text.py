"""TOML of somebody else: keys of a few parts are read, and others are not given to the parser."""

import tomllib

import pytest

from interop_protocol.toml_text import MAX_DOTS, read_toml

DOTS = ".a" * (MAX_DOTS + 1)


@pytest.mark.parametrize(
    "text",
    [
        f"a{DOTS[2:]} = 1",
        f"[[a{DOTS[2:]}]]",
        f'x = "a{DOTS}"',
        f"x = 'a{DOTS}'",
        f'x = """\n"a{DOTS}\\""""""',
        f"x = '''\na{DOTS}'''",
        f"x = 1 # a{DOTS}",
        f'x = ["a{DOTS}",\n"\\"a{DOTS}"]',
        f"x = [{'1.5, ' * 50}]",
        "".join(f"a{each}.b.c = 1\n" for each in range(100)),
    ],
)
def test_what_has_few_dots_is_read(text: str) -> None:
    """As many as are allowed in a key, and any in texts and comments."""
    assert read_toml(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        f"a{DOTS} = 1",
        f"[a{DOTS}]",
        f"[[ a{DOTS} ]]",
        f"x = {{ y = 1, a{DOTS} = 1 }}",
        f"{'a . ' * (MAX_DOTS + 1)}b = 1",
        f'"a\\"b"{DOTS} = 1',
        f"'a b'{DOTS} = 1",
        '"".' * (MAX_DOTS + 1) + "b = 1",
        f'x = {{ y = """"a"""", a{DOTS} = "b" }}',
        f"x = {{ y = ''''a'''', a{DOTS} = 'b' }}",
    ],
)
def test_what_has_many_dots_is_not_read(text: str) -> None:
    """However the parts are written, and whatever stands before them."""
    with pytest.raises(ValueError, match=r"more than 16 dots is not read \(at line 3\)"):
        read_toml(f"# a\n\n{text}")
