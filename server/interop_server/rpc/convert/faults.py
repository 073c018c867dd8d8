"""Faults on the wire, and what there is on the edges for them to be about; which make sense is for the rules."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from enum import IntEnum
from typing import Any, get_args

from interop_api.admin.v1alpha1 import faults_pb2 as pb
from interop_api.v1 import (
    account_pb2,
    chat_pb2,
    enlistment_pb2,
    integrity_pb2,
    interop_pb2,
    media_pb2,
    prekeys_pb2,
    stanza_pb2,
)
from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_checks import REQUIREMENT
from interop_server.core.fault_rules import (
    Action,
    Catalogue,
    Chain,
    Direction,
    Ending,
    FaultMatch,
    FaultRule,
    KeyPart,
    Part,
    Place,
    ReplaceKeys,
    Replacement,
    word_of,
    word_of_kind,
)
from interop_server.core.faults import Ordered
from interop_server.core.messages import ReceiptType
from interop_server.core.model import ConnectionMode
from interop_server.rpc.convert.enums import known

_FILES = (enlistment_pb2, chat_pb2, prekeys_pb2, interop_pb2, media_pb2, integrity_pb2, account_pb2)
_PLACES = {
    "ChatService.Connect": Place.LOGIN,
    "PreKeyService.TakePreKeyBundles": Place.TAKING_KEYS,
    "PreKeyService.TakeMissingPreKeyBundles": Place.TAKING_KEYS,
    "MediaService.Download": Place.DOWNLOAD,
    "http.interop_reg": Place.HTTP,
    "http.jwks": Place.HTTP,
    "http.upload": Place.HTTP_DOWNLOAD,
    "http.partner_media": Place.HTTP_DOWNLOAD,
    "partner.jwks": Place.PARTNER,
    "partner.push": Place.PARTNER,
}
"""Every call that is not like all others."""
_BOTH = frozenset(Direction)
_FROM_CLIENT = ("ack", "nack", "ping", "offline_batch", "client_closed", "call_offer")
_TO_CLIENT = ("pong", "send_acks", "notification", "offline_preview", "offline_end", "stanza_refused")
_LAST_WORDS = ("login_success", "login_failure", "stream_error")
"""What begins and ends a channel belongs to `ChatService.Connect`."""
_ACTIONS: Mapping[str, type] = {word_of_kind(kind): kind for kind in get_args(Action)}
_ENUMS: Mapping[str, type[IntEnum]] = {
    "FaultPart": Part,
    "FaultEnding": Ending,
    "FaultKeyPart": KeyPart,
    "FaultChain": Chain,
    "ReceiptType": ReceiptType,
}


def catalogue(requirements: Collection[str]) -> Catalogue:
    """Returns what there is on the edges of this server.

    Args:
        requirements: The ids of all requirements.
    """
    calls = {
        f"{service.name}.{method.name}": Place.CALL
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    return Catalogue({**calls, **_PLACES}, {kind: _ways(kind) for kind in _kinds()}, frozenset(requirements))


def _kinds() -> list[str]:
    kinds = [field.name for field in stanza_pb2.Stanza.DESCRIPTOR.oneofs_by_name["kind"].fields]
    return [kind for kind in kinds if kind not in _LAST_WORDS]


def _ways(kind: str) -> frozenset[Direction]:
    if kind in _FROM_CLIENT:
        return frozenset((Direction.TO_SERVER,))
    return frozenset((Direction.TO_CLIENT,)) if kind in _TO_CLIENT else _BOTH


def faults_from(faults: Collection[pb.Fault]) -> list[FaultRule]:
    """Reads faults.

    Raises:
        Refusal: REQUEST_MALFORMED for a number that stands for nothing, or a fault that does nothing.
    """
    rules = []
    for number, fault in enumerate(faults):
        try:
            rules.append(_fault_from(fault))
        except Refusal as refusal:
            refusal.put_under(f"faults[{number}]")
            raise
    return rules


def _fault_from(fault: pb.Fault) -> FaultRule:
    match = fault.match
    return FaultRule(
        name=fault.name,
        match=FaultMatch(
            call=match.call,
            stanza=match.stanza,
            direction=_choice(Direction, match.direction, "match.direction"),
            actor=match.actor,
            peer=match.peer,
            integrator=match.integrator,
            mode=_choice(ConnectionMode, match.mode, "match.mode"),
            requirement=match.requirement,
            nth=match.nth or 1,
        ),
        action=_action_from(fault),
        times=fault.times if fault.HasField("times") else None,
        chance_percent=fault.chance_percent or 100,
        seed=fault.seed if fault.HasField("seed") else None,
    )


def _choice(kind: type[Any], value: int, field: str) -> Any:
    return known(kind, value, field, REQUIREMENT) if value else None


def _action_from(fault: pb.Fault) -> Action:
    word = fault.WhichOneof("action")
    if word is None:
        detail = f"say what is done: {', '.join(_ACTIONS)}"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field="action", requirement=REQUIREMENT)
    if word == "replace_keys":
        return ReplaceKeys(tuple(map(_replacement_from, enumerate(fault.replace_keys.replacements))))
    return _read(_ACTIONS[word], getattr(fault, word), word)  # type: ignore[no-any-return]


def _replacement_from(numbered: tuple[int, pb.FaultReplacement]) -> Replacement:
    number, replacement = numbered
    part = known(KeyPart, replacement.part, f"replace_keys.replacements[{number}].part", REQUIREMENT)
    return Replacement(part, replacement.value if replacement.HasField("value") else None)


def _read(kind: type, message: Any, path: str) -> Any:
    """Returns an action of that kind: its fields are those of the message. What is not said is as the kind has it."""
    defaults = {field.name: field.default for field in fields(kind)}
    given = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_said = message.HasField(field.name) if field.has_presence else bool(value)
        if is_said or defaults[field.name] is MISSING:
            given[field.name] = _value(field, value, f"{path}.{field.name}")
    return kind(**given)


def _value(field: Any, value: Any, path: str) -> Any:
    if field.enum_type is None:
        return value
    if field.enum_type.name == "ErrorReason":
        return _reason(value, path)
    return known(_ENUMS[field.enum_type.name], value, path, REQUIREMENT)


def _reason(number: int, path: str) -> Reason:
    try:
        return next(reason for reason in Reason if reason.value == number)
    except StopIteration:
        detail = "`reason` must be a reason of errors.proto"
        raise Refusal(Reason.REQUEST_MALFORMED, detail, field=path, requirement=REQUIREMENT) from None


def fault_to(rule: FaultRule) -> pb.Fault:
    """Returns a fault as it was added, with what it leaves out filled in."""
    match, word = rule.match, word_of(rule.action)
    fault = pb.Fault(
        name=rule.name,
        match=pb.FaultMatch(
            call=match.call,
            stanza=match.stanza,
            direction=pb.FaultDirection.ValueType(match.direction or 0),
            actor=match.actor,
            peer=match.peer,
            integrator=match.integrator,
            mode=chat_pb2.ConnectionMode.ValueType(match.mode or 0),
            requirement=match.requirement,
            nth=match.nth,
        ),
        times=rule.times,
        chance_percent=rule.chance_percent,
        seed=rule.seed,
    )
    message: Any = getattr(fault, word)
    message.SetInParent()
    if isinstance(rule.action, ReplaceKeys):
        for part, value in rule.action.replacements:
            message.replacements.add(part=int(part), value=value)
        return fault
    for field in fields(rule.action):
        value = getattr(rule.action, field.name)
        if value is not None:
            setattr(message, field.name, value.value if isinstance(value, Reason) else value)
    return fault


def state_to(ordered: Ordered, held: int) -> pb.FaultState:
    """Returns a fault with what became of it."""
    return pb.FaultState(fault=fault_to(ordered.rule), matched=ordered.matched, fired=ordered.fired, held=held)
