"""Names of the contract that every language can take: no keyword, nothing nested, no file without its options."""

import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.proto_sources import read_protos

Files = Iterable[descriptor_pb2.FileDescriptorProto]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYWORDS = {
    "Python": frozenset(keyword.kwlist),
    "TypeScript": words(
        "await break case catch class const constructor continue debugger default delete do else enum export extends"
        " false finally for function if implements import in instanceof interface let new null package private"
        " protected prototype public return static super switch this throw toString true try typeof var void while"
        " with yield"
    ),
    "Go": words(
        "break case chan const continue default defer else fallthrough for func go goto if import interface map"
        " package range return select struct switch type var"
        " Descriptor ExtensionMap ExtensionRangeArray Marshal ProtoMessage ProtoReflect Reset String Unmarshal"
    ),
    "Java": words(
        "abstract assert boolean break byte case catch char class const continue default do double else enum extends"
        " false final finally float for goto if implements import instanceof int interface long native new null"
        " package private protected public return short static strictfp super switch synchronized this throw throws"
        " transient true try void volatile while"
    ),
    "C++": words(
        "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class"
        " co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype"
        " default delete do double dynamic_cast else enum explicit export extern false float for friend goto if"
        " inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected"
        " public register reinterpret_cast requires return short signed sizeof static static_assert static_cast"
        " struct switch template this thread_local throw true try typedef typeid typename union unsigned using"
        " virtual void volatile wchar_t while xor xor_eq DELETE EOF ERROR NULL"
    ),
    "C#": words(
        "abstract as base bool break byte case catch char checked class const continue decimal default delegate do"
        " double else enum event explicit extern false finally fixed float for foreach goto if implicit in int"
        " interface internal is lock long namespace new null object operator out override params private protected"
        " public readonly ref return sbyte sealed short sizeof stackalloc static string struct switch this throw"
        " true try typeof uint ulong unchecked unsafe ushort using virtual void volatile while"
        " Descriptor Equals GetHashCode Parser"
    ),
    "Swift": words(
        "Any Protocol Self Type as associatedtype await break case catch class continue default defer deinit do else"
        " enum extension fallthrough false fileprivate for func guard if import in init inout internal is let nil"
        " open operator precedencegroup private protocol public repeat rethrows return self static struct subscript"
        " super switch throw throws true try typealias var where while"
    ),
}
"""Reserved words, and names that generated code has of its own."""
OPTIONS = ("go_package", "java_package", "java_multiple_files", "csharp_namespace", "objc_class_prefix")


def camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(part.capitalize() for part in rest)


def pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def uncapitalised(name: str) -> str:
    return name[:1].lower() + name[1:]


Form = Callable[[str], str]
FORMS: dict[str, dict[str, tuple[Form, ...]]] = {
    "field": {
        "Python": (str,), "TypeScript": (str, camel), "Go": (pascal,), "Java": (camel,), "C++": (str,), "C#": (pascal,),
        "Swift": (camel,),
    },
    "call": {
        "Python": (str,), "TypeScript": (uncapitalised,), "Go": (str,), "Java": (uncapitalised,), "C++": (str,),
        "C#": (str,), "Swift": (uncapitalised,),
    },
    "value": {"Python": (str,), "TypeScript": (str,), "Go": (str,), "Java": (str,), "C++": (str,)},
    "bare value": {"TypeScript": (pascal,), "C#": (pascal,), "Swift": (camel,)},
    "type": {language: (str,) for language in KEYWORDS},
    "package": {"Python": (str,), "Java": (str,), "C++": (str,)},
}  # fmt: skip
"""How the generators of a language write a name of each kind. A bare value is one without the name of its enum."""


def names(files: Files) -> Iterator[tuple[str, str, str]]:
    """Every name of the contract: its kind, where it stands, and the name."""
    for file in files:
        yield from (("package", file.package, part) for part in file.package.split("."))
        for message in file.message_type:
            yield "type", file.package, message.name
            yield from (("field", message.name, field.name) for field in message.field)
            yield from (("field", message.name, name) for name in _written_oneofs(message))
        for enum in file.enum_type:
            yield "type", file.package, enum.name
            prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
            for value in enum.value:
                yield "value", enum.name, value.name
                yield "bare value", enum.name, value.name.removeprefix(prefix).lower()
        for service in file.service:
            yield "type", file.package, service.name
            yield from (("call", service.name, method.name) for method in service.method)


def _written_oneofs(message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    """Those that stand in the file: the compiler makes one more of each `optional` field."""
    made = {field.oneof_index for field in message.field if field.proto3_optional}
    yield from (oneof.name for at, oneof in enumerate(message.oneof_decl) if at not in made)


def collisions(files: Files) -> list[str]:
    """Names that are a keyword somewhere, and fields that C# would rename because their message has the same name."""
    found = []
    for kind, place, name in names(files):
        for language, forms in FORMS[kind].items():
            if any(form(name) in KEYWORDS[language] for form in forms):
                found.append(f"{place}.{name}: {language}")
        if kind == "field" and pascal(name) == place:
            found.append(f"{place}.{name}: the name of its message")
    return found


def nested(files: Files) -> list[str]:
    """Messages and enums inside messages, which some generators rename; maps aside."""
    return [
        f"{message.name}.{inner.name}"
        for file in files
        for message in file.message_type
        for inner in (*(each for each in message.nested_type if not each.options.map_entry), *message.enum_type)
    ]


def test_no_name_is_a_keyword() -> None:
    """In Python, TypeScript, Go, Java, C++, C# and Swift, as the generators there write it."""
    assert collisions(read_protos()) == []


def test_nothing_is_nested() -> None:
    assert nested(read_protos()) == []


@pytest.mark.parametrize("file", read_protos(), ids=lambda file: file.name)
def test_a_file_says_what_its_code_belongs_to(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Otherwise each generator makes up a package of its own."""
    assert [option for option in OPTIONS if not file.options.HasField(option)] == []


BAD = """\
syntax = "proto3";
package thing.default;
message Thing {
  string from = 1;
  string static = 2;
  string thing = 3;
  string good = 4;
  enum Type {
    TYPE_UNSPECIFIED = 0;
  }
}
message Any {
  string get_self = 1;
}
enum AnswerKind {
  ANSWER_KIND_UNSPECIFIED = 0;
  ANSWER_KIND_DEFAULT = 1;
}
service ThingService {
  rpc Delete(Thing) returns (Thing);
}
"""


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    """A search that finds nothing proves something only if it can find."""
    (tmp_path / "bad.proto").write_text(BAD)
    files = read_protos(tmp_path)
    found = {line.partition(":")[0] for line in collisions(files)}
    assert found == {
        "thing.default.default", "Thing.from", "Thing.static", "Thing.thing", "thing.default.Any", "AnswerKind.default",
        "ThingService.Delete",
    }  # fmt: skip
    assert {
        "Thing.from: Python",
        "Thing.static: Java",
        "Thing.static: C++",
        "Thing.thing: the name of its message",
    } <= {*collisions(files)}
    assert nested(files) == ["Thing.Type"]
