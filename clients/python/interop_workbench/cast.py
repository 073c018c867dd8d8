"""Who takes part: a messenger and people of WhatsApp, as a file in TOML says; opens no connection."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from interop_protocol.printable import is_printable
from interop_protocol.toml_text import read_toml

HABITS = ("none", "echo", "script", "late", "block", "chatter", "rotate")
"""What a person can do by themselves."""
MAX_FILE_BYTES = 1 << 20
"""Longest file; policy."""
MAX_PEOPLE = 100
MAX_LINES = 1_000
MAX_NAME = 64
MAX_SECONDS = 86_400.0


class CastWrong(Exception):
    """A cast cannot be used; the message is a sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class PartnerRole:
    """The ready-made messenger, of which a client's users are."""

    integrator: int = 31
    """Its integrator id: 1 to 999."""
    name: str = "Pigeon"
    """Its display name."""
    issuer: str = "https://pigeon.example"
    """The `iss` of its tokens."""


@dataclass(frozen=True, slots=True)
class Role:
    """A person of WhatsApp, and what they do by themselves."""

    name: str
    """Names the person in commands and on the page: 1 to 64 characters, without blanks."""
    phone_number: str
    """E.164 with a leading `+`."""
    habit: str = "none"
    """One of `HABITS`."""
    opted_in: bool = True
    """Whether they begin with third-party chats turned on, for the ready-made messenger."""
    online: bool = True
    """Whether their client is connected from the start."""
    inbox: str = "separate"
    """How their inbox shows third-party chats: `separate` or `combined` (OPT-05)."""
    lines: tuple[str, ...] = ()
    """For `script` and `chatter`: what they say, in order."""
    seconds: float = 10.0
    """For `late`: how long they take to read; for `chatter`: the pause between two messages."""
    every: int = 3
    """For `rotate`: after how many messages they change keys."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The messenger and the people."""

    partner: PartnerRole | None
    """None for a workbench that only looks on."""
    people: tuple[Role, ...]


NOBODY = Cast(None, ())
"""No messenger and no people."""


def default_cast() -> Cast:
    """Returns the cast that `interopsim up --people` brings along."""
    return parse_cast(files("interop_workbench").joinpath("cast.toml").read_text())


def load_cast(path: Path) -> Cast:
    """Reads a cast from a file.

    Raises:
        CastWrong: It cannot be read, or is no cast.
    """
    try:
        if path.exists() and not path.is_file():
            raise CastWrong("it cannot be read: it is no regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CastWrong(f"it has more than {MAX_FILE_BYTES:,} bytes: write fewer lines.")
        return parse_cast(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise CastWrong(f"{path} cannot be read: {error}.") from error
    except CastWrong as error:
        raise CastWrong(f"{path}: {error}") from error


def parse_cast(text: str) -> Cast:
    """Reads a cast.

    Raises:
        CastWrong: It is no cast.
    """
    try:
        tables = read_toml(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is no TOMLDecodeError
        raise CastWrong(f"this is not TOML: {error}.") from error
    _refuse_unknown("the file", tables, ("partner", "people"))
    partner = tables.get("partner", {})
    people = tables.get("people", [])
    if (
        not isinstance(partner, dict)
        or not isinstance(people, list)
        or not all(isinstance(one, dict) for one in people)
    ):
        raise CastWrong("write one table [partner] and a table [[people]] for each person.")
    if len(people) > MAX_PEOPLE:
        raise CastWrong(f"{len(people)} people are too many: at most {MAX_PEOPLE}.")
    cast = Cast(_read_partner(partner), tuple(read_role(table) for table in people))
    for what, values in (
        ("name", [form_of_name(role.name) for role in cast.people]),
        ("phone number", [form_of_number(role.phone_number) for role in cast.people]),
    ):
        value, count = Counter(values).most_common(1)[0] if values else ("", 0)
        if count > 1:
            raise CastWrong(f"two people have the {what} {value!r}: give each their own.")
    return cast


def read_role(table: dict[str, Any]) -> Role:
    """Reads a person from the fields of `Role`.

    Raises:
        CastWrong: A field is unknown, missing or has a value that it cannot have.
    """
    role: Role = _read(Role, "a person", table)
    who = f"the person {role.name!r}"
    if not 0 < len(role.name) <= MAX_NAME or not is_printable(role.name) or any(map(str.isspace, role.name)):
        raise CastWrong(f"{who}: a name has 1 to {MAX_NAME} printable characters, without blanks.")
    if "@" in role.name or "/" in role.name:
        raise CastWrong(f"{who}: a name has neither `@` nor `/`.")
    if role.habit not in HABITS:
        raise CastWrong(f"{who}: the habit {role.habit!r} is unknown{or_else(role.habit, HABITS)}")
    if role.inbox not in ("separate", "combined"):
        raise CastWrong(f"{who}: `inbox` is separate or combined.")
    if not 0 < role.seconds <= MAX_SECONDS:
        raise CastWrong(f"{who}: `seconds` is more than 0 and at most {MAX_SECONDS:g}.")
    if not 0 < role.every <= MAX_LINES:
        raise CastWrong(f"{who}: `every` is 1 to {MAX_LINES}.")
    if len(role.lines) > MAX_LINES or not all(role.lines):
        raise CastWrong(f"{who}: `lines` are at most {MAX_LINES} texts, none of them empty.")
    if role.habit in ("script", "chatter") and not role.lines:
        raise CastWrong(f"{who}: the habit {role.habit} needs `lines`, a list of texts.")
    return role


def form_of_name(name: str) -> str:
    """Returns the form in which names are compared: composed and in lower case. Nothing is folded: ß is not ss."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


def form_of_number(phone_number: str) -> str:
    """Returns the form in which phone numbers are compared: `+` and digits, however they are grouped."""
    return "+" + "".join(character for character in phone_number if character in "0123456789")


def _read_partner(table: dict[str, Any]) -> PartnerRole:
    partner: PartnerRole = _read(PartnerRole, "the partner", table)
    if not 0 < partner.integrator < 1_000:
        raise CastWrong("the partner: `integrator` is 1 to 999.")
    if not partner.name or not partner.issuer:
        raise CastWrong("the partner: `name` and `issuer` are not empty.")
    return partner


def _read(kind: type[Any], what: str, table: dict[str, Any]) -> Any:
    types = get_type_hints(kind)
    _refuse_unknown(what, table, tuple(types))
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in table]
    if missing:
        raise CastWrong(f"{what} lacks {', '.join(f'`{name}`' for name in missing)}.")
    return kind(**{name: _value(what, name, value, types[name]) for name, value in table.items()})


def _value(what: str, name: str, value: Any, wanted: type | UnionType) -> Any:
    if get_args(wanted):  # tuple[str, ...]
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise CastWrong(f"{what}: `{name}` is a list of texts.")
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        words = {str: "a text", int: "a whole number", bool: "true or false", float: "a number"}
        raise CastWrong(f"{what}: `{name}` is {words[wanted]}.")  # type: ignore[index]
    return value


def _refuse_unknown(what: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in table:
        if name not in known:
            raise CastWrong(f"{what} has no field `{name}`{or_else(name, known)}")


def or_else(word: str, known: Iterable[str]) -> str:
    """Returns how a sentence ends that says that a word is none of those that are known: with the nearest, or all."""
    near = get_close_matches(word, known, 1)
    return f": did you mean `{near[0]}`?" if near else f": write one of {', '.join(known)}."
