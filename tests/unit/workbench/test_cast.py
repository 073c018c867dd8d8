"""A cast is read as it is written, or refused with a sentence that says what to change."""

import os
from pathlib import Path

import pytest

from interop_workbench.cast import (
    HABITS,
    MAX_FILE_BYTES,
    CastWrong,
    PartnerRole,
    Role,
    default_cast,
    load_cast,
    parse_cast,
)
from interop_workbench.habits import habit_of

GRACE = '[[people]]\nname = "Grace"\nphone_number = "+31600000099"\n'


def test_the_usual_cast_has_a_person_for_each_habit() -> None:
    """And each of them has something to do."""
    cast = default_cast()
    assert cast.partner == PartnerRole(31, "Pigeon", "https://pigeon.example")
    assert {role.habit for role in cast.people} == set(HABITS)
    assert [role.name for role in cast.people if not role.online] == ["Away"]
    assert [role.name for role in cast.people if not role.opted_in] == ["Rejecta"]
    assert all(callable(habit_of(role)) for role in cast.people)


@pytest.mark.parametrize(("habit", "said"), [("ecco", "did you mean `echo`"), ("", "none, echo"), ("x", "none, echo")])
def test_a_habit_that_is_none_is_refused(habit: str, said: str) -> None:
    """Also of a role that was not read from a file."""
    with pytest.raises(ValueError, match=f"there is no habit '{habit}': .*{said}"):
        habit_of(Role("Grace", "+31600000099", habit))


def test_what_is_left_out_is_as_usual() -> None:
    """A name and a number make a person."""
    cast = parse_cast(GRACE)
    assert cast.partner == PartnerRole()
    [grace] = cast.people
    assert (grace.name, grace.habit, grace.opted_in, grace.online, grace.inbox) == (
        "Grace",
        "none",
        True,
        True,
        "separate",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("people = [", "not TOML", id="no TOML"),
        pytest.param("peopel = []", "did you mean `people`", id="a table of another name"),
        pytest.param("[people]\nname = 1", "[[people]]", id="a table in place of a list"),
        pytest.param("people = [1]", "[[people]]", id="no tables"),
        pytest.param("partner = 3", "[partner]", id="a messenger that is none"),
        pytest.param("[partner]\nintegrator = 0", "1 to 999", id="an id too low"),
        pytest.param("[partner]\nintegrator = 1000", "1 to 999", id="an id too high"),
        pytest.param('[partner]\nintegrator = "31"', "`integrator` is a whole number", id="an id that is a text"),
        pytest.param("[partner]\nintegrator = true", "`integrator` is a whole number", id="an id that is a truth"),
        pytest.param('[partner]\nname = ""', "not empty", id="a messenger without a name"),
        pytest.param('[[people]]\nname = "Grace"', "lacks `phone_number`", id="no number"),
        pytest.param(GRACE + 'habbit = "echo"', "did you mean `habit`", id="a field of another name"),
        pytest.param(GRACE + 'habit = "ecko"', "did you mean `echo`", id="a habit of another name"),
        pytest.param(GRACE + 'habit = "script"', "needs `lines`", id="a script without lines"),
        pytest.param(GRACE + 'lines = "one"', "`lines` is a list", id="lines that are none"),
        pytest.param(GRACE + "lines = [1]", "`lines` is a list", id="lines that are numbers"),
        pytest.param(GRACE + 'lines = [""]', "none of them empty", id="an empty line"),
        pytest.param(GRACE + "seconds = 0", "more than 0", id="no pause"),
        pytest.param(GRACE + "seconds = nan", "more than 0", id="a pause that is no number"),
        pytest.param(GRACE + "seconds = inf", "more than 0", id="a pause without end"),
        pytest.param(GRACE + "every = 0", "`every`", id="at no message"),
        pytest.param(GRACE + 'inbox = "both"', "separate or combined", id="an inbox that is none"),
        pytest.param(GRACE + GRACE, "two people have the name", id="a name twice"),
        pytest.param(GRACE + GRACE.replace("Grace", "Ada"), "two people have the phone number", id="a number twice"),
        pytest.param(GRACE + GRACE.replace("Grace", "GRACE"), "two people have the name", id="a name in capitals"),
        pytest.param(
            GRACE.replace("Grace", "Jos\u00e9") + GRACE.replace("Grace", "Jose\u0301"),
            "two people have the name",
            id="a name in another form",
        ),
        pytest.param(
            GRACE + GRACE.replace("Grace", "Ada").replace("+316", "+31 (6) "),
            "two people have the phone number",
            id="a number written in groups",
        ),
        pytest.param(GRACE.replace("Grace", "Grace Hopper"), "without blanks", id="a name with a blank"),
        pytest.param(GRACE.replace("Grace", "a/b"), "neither `@` nor `/`", id="a name that is a path"),
        pytest.param(GRACE.replace("Grace", "a\\u0000"), "printable", id="a name that cannot be shown"),
        pytest.param("a = " + "[" * 10_000, "this is not TOML", id="what is nested too deeply"),
        pytest.param("a." * 17 + "b = 1", "more than 16 dots", id="a key of too many parts"),
        pytest.param("a = " + "9" * 5_000, "this is not TOML", id="a number of too many digits"),
        pytest.param(
            "".join(f'[[people]]\nname = "p{each}"\nphone_number = "{each}"\n' for each in range(101)),
            "too many",
            id="a crowd",
        ),
    ],
)
def test_a_wrong_cast_is_refused_with_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    """One that names the place and what to write."""
    with pytest.raises(CastWrong) as raised:
        parse_cast(text)
    assert said in str(raised.value) and str(raised.value).endswith((".", "?"))
    file = tmp_path / "cast.toml"
    file.write_text(text)
    with pytest.raises(CastWrong, match=r"cast\.toml"):
        load_cast(file)


@pytest.mark.parametrize(
    "name",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0d05\u0d35\u0d28\u0d4d\u200d",
    ],
)
def test_a_name_is_written_as_people_write_theirs(name: str) -> None:
    """With the joiners of their script, or of their emoji."""
    [person] = parse_cast(GRACE.replace("Grace", name)).people
    assert person.name == name


def test_what_is_spelt_differently_is_somebody_else() -> None:
    """ß is not ss."""
    other = GRACE.replace("Grace", "strasse").replace("99", "98")
    people = parse_cast(GRACE.replace("Grace", "stra\u00dfe") + other).people
    assert [person.name for person in people] == ["stra\u00dfe", "strasse"]


def test_a_file_is_not_read_to_its_end_where_it_has_none(tmp_path: Path) -> None:
    """A device, a pipe that nobody writes to, and a file that is longer than any right one."""
    file = tmp_path / "cast.toml"
    file.write_text(GRACE + "#" * (MAX_FILE_BYTES - len(GRACE)))
    assert len(load_cast(file).people) == 1
    file.write_text(file.read_text() + "#")
    with pytest.raises(CastWrong, match="more than 1,048,576 bytes"):
        load_cast(file)
    os.mkfifo(tmp_path / "pipe")
    for endless in ("/dev/zero", "pipe"):
        with pytest.raises(CastWrong, match="is no regular file"):
            load_cast(tmp_path / endless)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder, bytes that are no text, nothing at all."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in (".", "bytes", "missing"):
        with pytest.raises(CastWrong, match="cannot be read"):
            load_cast(tmp_path / name)
