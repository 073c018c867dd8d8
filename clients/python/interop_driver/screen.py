"""What the user of a device was shown, in order; knows no connection."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.messaging import events

KEPT = 1_000
"""How many of the newest events of a device are kept."""
_LIST_BYTES = 1 << 20
"""How much of them goes into one answer."""

ACTIVITIES = {
    "COMPOSING": pb.TYPING_ACTIVITY_COMPOSING,
    "RECORDING": pb.TYPING_ACTIVITY_RECORDING,
    "PAUSED": pb.TYPING_ACTIVITY_PAUSED,
}
"""Of the SDK's events, by name."""


class Screen:
    """What one device has shown.

    Args:
        device: Its name.
        emit: Tells the kit.
    """

    def __init__(self, device: str, emit: Callable[[pb.DriveResponse], Awaitable[None]]) -> None:
        self._device = device
        self._emit = emit
        self._shown: deque[pb.DeviceEvent] = deque(maxlen=KEPT)
        self._number = 0

    async def show(self, **kind: Message) -> None:
        """Shows something to the user.

        Args:
            **kind: One field of `DeviceEvent.kind`.
        """
        self._number += 1
        event = pb.DeviceEvent(device=self._device, number=self._number, **kind)  # type: ignore[arg-type]
        self._shown.append(event)
        await self._emit(pb.DriveResponse(event=event))

    def after(self, number: int) -> pb.ListShownResult:
        """Returns what was shown after the event of a number, as much as fits."""
        result, size = pb.ListShownResult(), 0
        for event in self._shown:
            if event.number <= number:
                continue
            size += event.ByteSize()
            if result.events and size > _LIST_BYTES:
                result.has_more = True
                break
            result.events.append(event)
        return result


def shown(event: events.Event) -> dict[str, Message]:
    """Returns what the user is shown of an event of the SDK, as a field of `DeviceEvent.kind`; nothing when it is none
    of theirs, or when the device has more to do first."""
    show = _SHOWN.get(type(event))
    return {} if show is None else show(event)


def _held(event: events.MessageHeld) -> dict[str, Message]:
    shown = pb.IdentityChangeShown(jid=event.sender, identity_key=event.identity_key, message_id=event.id)
    return {"identity_change_shown": shown}


def _retry_unanswered(event: events.RetryUnanswered) -> dict[str, Message]:
    detail = f"The message could not be sent to {event.to_jid} again."
    return {"error_shown": pb.ErrorShown(message_id=event.id, reason=event.reason, detail=detail)}


def _text(event: events.TextReceived) -> dict[str, Message]:
    text = pb.TextShown(sender_jid=event.sender, message_id=event.id, text=event.text, reply_to=event.reply_to or "")
    return {"text_shown": text}


_SHOWN: Mapping[type, Callable[[Any], dict[str, Message]]] = {
    events.TextReceived: _text,
    events.ReactionReceived: lambda event: {
        "reaction_shown": pb.ReactionShown(sender_jid=event.sender, target_id=event.target_id, emoji=event.emoji)
    },
    events.EditReceived: lambda event: {
        "edit_shown": pb.EditShown(sender_jid=event.sender, target_id=event.target_id, text=event.text)
    },
    events.DeletionReceived: lambda event: {
        "deletion_shown": pb.DeletionShown(sender_jid=event.sender, target_id=event.target_id)
    },
    events.ReceiptReceived: lambda event: {
        "receipt_shown": pb.ReceiptShown(sender_jid=event.sender, message_ids=event.message_ids, is_read=event.is_read)
    },
    events.Typing: lambda event: {
        "typing_shown": pb.TypingShown(sender_jid=event.sender, activity=ACTIVITIES[event.state])
    },
    events.IdentityChanged: lambda event: {"identity_change_shown": pb.IdentityChangeShown(jid=event.jid)},
    events.MessageHeld: _held,
    events.MessageAwaited: lambda event: {
        "undecryptable_shown": pb.UndecryptableShown(sender_jid=event.sender, message_id=event.id, is_awaited=True)
    },
    events.Undecryptable: lambda event: {
        "undecryptable_shown": pb.UndecryptableShown(sender_jid=event.sender, message_id=event.id)
    },
    events.Unsupported: lambda event: {
        "unknown_content_shown": pb.UnknownContentShown(sender_jid=event.sender, message_id=event.id)
    },
    events.RetryUnanswered: _retry_unanswered,
    events.StanzaRefused: lambda event: {
        "error_shown": pb.ErrorShown(message_id=event.id, reason=event.reason, detail=event.advice)
    },
}
"""Other events are the client's own affair, or the device shows them when it has what belongs to them."""
