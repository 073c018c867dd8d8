"""Edits and deletions of messages: which apply, and which wait for their message; knows no encryption and no wire.

A change can overtake its message: the recipient asked for the message again, or its sender had to repeat it. Then the
change waits, and follows the message when that comes. Source: MSG-12, RCP-03.
"""

from dataclasses import fields, replace
from typing import Any

from interop_api.e2ee.v1 import content_pb2
from interop_client.memory import DeliveryMemory, WaitingChange
from interop_client.messaging.contents import message_event
from interop_client.messaging.events import (
    ChangeRefused,
    DeletionReceived,
    EditReceived,
    Evidence,
    Incoming,
    Message,
    TextReceived,
)
from interop_client.signal.content import parse_message

Change = EditReceived | DeletionReceived
Events = tuple[Message, ...]


class Changes:
    """Puts changes and their messages in order.

    Args:
        deliveries: Remembers which texts came and which changes wait; changes.
    """

    def __init__(self, deliveries: DeliveryMemory) -> None:
        self._deliveries = deliveries

    def settle(self, event: Message, content: content_pb2.Message, plaintext: bytes, *, is_here: bool) -> Events:
        """Returns the events that a message leads to, in order: with changes that waited for it, none if it waits.

        Args:
            event: Of the message.
            content: Its content.
            plaintext: The same, serialised.
            is_here: For a change: whether the message that it changes has come.
        """
        if isinstance(event, EditReceived | DeletionReceived):
            if not is_here and event.target_id != event.id:
                return self._wait(event, content.protocol_message, plaintext)
            return (self._changed(event, content.protocol_message), *self._waiting(event))
        if isinstance(event, TextReceived):
            self._deliveries.text_came((event.sender, event.id), event.timestamp_ms)
        return (event, *self._waiting(event))

    def _wait(self, event: Change, change: content_pb2.ProtocolMessage, plaintext: bytes) -> Events:
        target = (event.sender, event.target_id)
        earlier, has_room = self._deliveries.changes.get(target), True
        if earlier is None or supersedes(change, parse_message(earlier.plaintext).protocol_message):
            waiting = WaitingChange(event.id, event.timestamp_ms, plaintext, event.evidence is not None)
            has_room = self._deliveries.wait(target, waiting)
        if has_room and target in self._deliveries.asked:
            return ()  # it is on its way
        # It may be long gone, or still come: then the change follows it.
        return (event if isinstance(event, DeletionReceived) else refused(event, "TOO_LATE"),)

    def _waiting(self, message: Incoming) -> Events:
        """Returns the change that waited for a message, which stays until the message is finished."""
        waiting = self._deliveries.changes.get((message.sender, message.id))
        if waiting is None:
            return ()
        content = parse_message(waiting.plaintext)
        evidence = Evidence(waiting.plaintext, content.message_context_info.message_secret)
        event = message_event(
            content,
            replace(
                _facts(message),
                id=waiting.message_id,
                timestamp_ms=waiting.timestamp_ms,
                retry_count=0,
                evidence=evidence if waiting.is_proved else None,
            ),
        )
        assert isinstance(event, EditReceived | DeletionReceived)
        return (self._changed(event, content.protocol_message),)

    def _changed(self, event: Change, change: content_pb2.ProtocolMessage) -> Message:
        """Allows edits of a text for twenty minutes, by the server's time (MSG-12)."""
        target = (event.sender, event.target_id)
        if isinstance(event, DeletionReceived):
            self._deliveries.texts.pop(target, None)
            return event
        if not self._deliveries.may_edit(target, event.timestamp_ms):
            return refused(event, "TOO_LATE")
        times = self._deliveries.texts[target]
        if event.retry_count and change.timestamp_ms < times.edited_ms:
            return refused(event, "SUPERSEDED")
        times.edited_ms = change.timestamp_ms
        return event


def refused(event: EditReceived, reason: str) -> ChangeRefused:
    """Returns an edit that may not change its message, with the reason."""
    facts: dict[str, Any] = {fact.name: getattr(event, fact.name) for fact in fields(Incoming)}
    return ChangeRefused(**facts, target_id=event.target_id, reason=reason)


def _facts(message: Incoming) -> Incoming:
    facts: dict[str, Any] = {fact.name: getattr(message, fact.name) for fact in fields(Incoming)}
    return Incoming(**facts)


def is_deletion(change: content_pb2.ProtocolMessage) -> bool:
    """Says whether a change deletes its message."""
    return change.HasField("type") and change.type == content_pb2.PROTOCOL_MESSAGE_TYPE_REVOKE


def supersedes(new: content_pb2.ProtocolMessage, old: content_pb2.ProtocolMessage) -> bool:
    """Says whether a change of a message holds instead of another one, whichever came first."""
    if is_deletion(new) or is_deletion(old):
        return is_deletion(new)
    return new.timestamp_ms >= old.timestamp_ms
