"""Which refusals the comments in protos/ document: by RPC, and by kind of stanza; knows no server."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from interop_server.core.errors import Reason
from tests.proto_sources import comments, read_protos

TOKEN_REASONS = frozenset(reason.name for reason in Reason if reason.name.startswith("TOKEN_"))
_REASONS = frozenset(reason.name for reason in Reason)
_WORD = re.compile(r"\b[A-Z][A-Z_]*[A-Z]\b|every TOKEN_…")
_END = re.compile(r"\n\s*Source:|\Z")
_SAME_AS = re.compile(r"\s*as (\w+)\.")
_PER_ITEM = re.compile(r"\bper (?:item|user)\b")


@dataclass(frozen=True)
class Documented:
    """What the comment of an RPC allows."""

    whole: frozenset[str]
    """Reasons for which the call as a whole is refused."""
    item: frozenset[str]
    """Reasons that stand in a response, for one item of it."""


def _reasons(text: str) -> frozenset[str]:
    words = set(_WORD.findall(text))
    return frozenset(words & _REASONS) | (TOKEN_REASONS if "every TOKEN_…" in words else frozenset())


def _errors_of(comment: str) -> str:
    """Returns what stands under `Errors:`, or `Errors, in …:`, up to the source; empty when there is no such list."""
    found = re.search(r"\bErrors(?:, [^:]*)?:", comment)
    return comment[found.end() : _END.search(comment, found.end()).start()] if found else ""  # type: ignore[union-attr]


def _documented(errors: str) -> Documented:
    if "all as `" in errors:
        return Documented(frozenset(), _reasons(errors))
    whole, *items = _PER_ITEM.split(errors)
    return Documented(_reasons(whole), _reasons(" ".join(items)))


def read_documented() -> tuple[Mapping[str, Documented], Mapping[str, frozenset[str]]]:
    """Reads the comments.

    Returns:
        By method, such as `/interop_api.v1.ChatService/Connect`; and by message, such as `interop_api.v1.Typing`.
    """
    methods: dict[str, str] = {}
    messages: dict[str, str] = {}
    for file in read_protos():
        for where, comment in comments(file):
            if len(where) == 4 and where[0] == 6 and where[2] == 2:
                service = file.service[where[1]]
                methods[f"/{file.package}.{service.name}/{service.method[where[3]].name}"] = comment
            elif len(where) == 2 and where[0] == 4:
                messages[f"{file.package}.{file.message_type[where[1]].name}"] = comment
    by_method = {}
    for method, comment in methods.items():
        errors = _errors_of(comment)
        if same := _SAME_AS.match(errors):
            errors = _errors_of(methods[f"{method.rpartition('/')[0]}/{same[1]}"])
        by_method[method] = _documented(errors)
    by_message = {name: _reasons(_errors_of(comment)) for name, comment in messages.items()}
    return by_method, by_message
