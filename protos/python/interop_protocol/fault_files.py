"""Files of faults, in TOML: tables with the names of faults.proto, and where in the file each of them stands.

Writes into messages that it knows by their descriptors alone; which faults make sense is for the server to say.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, Self

from interop_protocol.toml_text import read_toml

FAULTS = "faults"
"""The only key of a file: an array of tables."""
MAX_FILE_BYTES = 1 << 20
"""Longest file; policy."""

_HEADER = re.compile(rf"\s*\[\[\s*{FAULTS}\s*\]\]")
_PATH_PART = re.compile(r"[a-z_]+")
_BYTES, _ENUM, _MESSAGE = 12, 14, 11
_WHOLE = frozenset({3, 4, 5, 13, 17, 18})
"""Types of fields, by number, as descriptor.proto has them."""


class FaultFileWrong(ValueError):
    """A file of faults cannot be read; the message is a sentence that says where and what to do."""


class FieldWrong(ValueError):
    """A value cannot stand where it stands.

    Args:
        path: The field, such as `faults[2].match.nth`.
        detail: What is wrong with it, without a full stop.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}.")
        self.path = path
        self.detail = detail


class FaultFile:
    """A file of faults.

    Args:
        name: What the file is called in messages.
        content: What stands in it.

    Raises:
        FaultFileWrong: It is too long, or no TOML in UTF-8, or holds anything but an array of tables `faults`.
    """

    def __init__(self, name: str, content: bytes) -> None:
        self._name = name
        if len(content) > MAX_FILE_BYTES:
            raise FaultFileWrong(f"{name} has more than {MAX_FILE_BYTES:,} bytes: write fewer faults.")
        try:
            self._text = content.decode()
            table = read_toml(self._text)
        except UnicodeDecodeError as error:
            raise FaultFileWrong(f"{name} is no text in UTF-8.") from error
        except (ValueError, RecursionError) as error:  # a number of too many digits is no TOMLDecodeError
            raise FaultFileWrong(f"{name} is no TOML: {error}.") from error
        faults = table.get(FAULTS)
        if (
            list(table) != [FAULTS]
            or not isinstance(faults, list)
            or not all(isinstance(each, dict) for each in faults)
        ):
            raise FaultFileWrong(f"{name} must hold tables [[{FAULTS}]], one for each fault, and nothing else.")
        self._faults: list[Mapping[str, Any]] = table[FAULTS]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file, of which it takes no more than the longest has.

        Raises:
            FaultFileWrong: It is no regular file, which could have no end, or cannot be read; or as for its content.
        """
        try:
            if not path.is_file():
                raise FaultFileWrong(f"{path} is no regular file: write the faults into one.")
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise FaultFileWrong(f"{path} cannot be read: {error.strerror}.") from error
        return cls(str(path), content)

    def write(self, messages: Any) -> None:
        """Appends every fault to a repeated field of messages `Fault`.

        Raises:
            FaultFileWrong: A name or a value is none of faults.proto.
        """
        for number, table in enumerate(self._faults):
            try:
                fill(messages.add(), table, f"{FAULTS}[{number}]")
            except FieldWrong as error:
                raise self.wrong(error.path, error.detail) from error

    def wrong(self, path: str, detail: str) -> FaultFileWrong:
        """Returns what to say of a field that is wrong: where it stands, and why."""
        return FaultFileWrong(f"{self._name}, line {self._line_of(path)}: {path}: {detail.rstrip('.')}.")

    def _line_of(self, path: str) -> int:
        lines = self._text.splitlines()
        number = int(path.partition("[")[2].partition("]")[0] or 0)
        headers = [at for at, line in enumerate(lines) if _HEADER.match(line)]
        if number >= len(headers):
            return 1
        first, last = headers[number], (*headers, len(lines))[number + 1]
        for name in reversed(_PATH_PART.findall(path.partition(".")[2])):
            for at in range(first + 1, last):
                if re.search(rf"(?<![\w-]){name}\s*=|\[.*\b{name}\s*\]", lines[at]):
                    return at + 1
        return first + 1


_NARROWING = frozenset(("call", "stanza", "actor", "peer", "integrator", "requirement", "nth", "chance_percent"))
"""Fields that narrow a fault, and whose 0 or empty text would have it fire wherever it can."""


def fill(message: Any, table: Mapping[str, Any], path: str) -> None:
    """Writes a table into a message.

    Args:
        message: Of any kind; the names of its fields are the keys.
        table: Enum values are written without their prefix, bytes in hexadecimal.
        path: Of the message.

    Raises:
        FieldWrong: A key is no field, or a value is not of its type or range.
    """
    fields = message.DESCRIPTOR.fields_by_name
    message.SetInParent()
    for key, value in table.items():
        if key not in fields:
            _refuse(f"{path}.{key}", no_such(key, fields))
        choice = fields[key].containing_oneof
        if choice is not None and (other := message.WhichOneof(choice.name)) is not None:
            _refuse(f"{path}.{key}", f"`{other}` stands there already, and only one of the two can")
        if key in _NARROWING and value in (0, "") and not isinstance(value, bool):
            _refuse(
                f"{path}.{key}", f"{value!r} would be as if nothing stood there: leave it out, or say what is meant"
            )
        _write(message, fields[key], value, f"{path}.{key}")


def _write(message: Any, field: Any, value: Any, path: str) -> None:
    if field.type == _MESSAGE and field.is_repeated:
        if not isinstance(value, list):
            _refuse(path, "this is a list of tables")
        for number, each in enumerate(value):
            _fill_table(getattr(message, field.name).add(), each, f"{path}[{number}]")
    elif field.type == _MESSAGE:
        _fill_table(getattr(message, field.name), value, path)
    else:
        try:
            setattr(message, field.name, _scalar(field, value, path))
        except (TypeError, ValueError) as error:
            if isinstance(error, FieldWrong):
                raise
            _refuse(path, "the number is out of range" if field.type in _WHOLE else "this is a text")


def _fill_table(message: Any, value: Any, path: str) -> None:
    if not isinstance(value, dict):
        _refuse(path, f"this is a table: {_among(message.DESCRIPTOR.fields_by_name)}")
    fill(message, value, path)


def _scalar(field: Any, value: Any, path: str) -> Any:
    if field.type == _ENUM:
        return _number_of(field.enum_type, value, path)
    if field.type == _BYTES:
        try:
            return bytes.fromhex(value)
        except (TypeError, ValueError):
            _refuse(path, "bytes are written in hexadecimal")
    if field.type in _WHOLE and (isinstance(value, bool) or not isinstance(value, int)):
        _refuse(path, "this is a whole number")
    return value


def _number_of(enum: Any, value: Any, path: str) -> int:
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    names = {each.name.removeprefix(prefix): each.number for each in enum.values if each.number}
    if isinstance(value, str) and value.upper() in names:
        return int(names[value.upper()])
    near = get_close_matches(str(value).upper(), names, 1)
    return _refuse(path, f"there is no {value!r}: {f'did you mean {near[0]}' if near else _among(names)}")


def no_such(name: str, names: Any) -> str:
    """Says that a name is none of these, and which it may be."""
    near = get_close_matches(name, names, 1)
    return f"there is no `{name}`: {f'did you mean `{near[0]}`' if near else _among(names)}"


def _among(names: Any) -> str:
    return f"choose from {', '.join(names)}" if len(names) else "nothing stands in it"


def _refuse(path: str, detail: str) -> NoReturn:
    raise FieldWrong(path, detail)
