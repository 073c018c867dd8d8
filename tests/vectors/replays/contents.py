"""Replays what is about contents: padding, messages, and what a sender commits to."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from interop_api.e2ee.v1 import content_pb2
from interop_client.signal import InvalidContent
from interop_client.signal.content import pad, unpad
from interop_protocol.franking import is_reporting_token, reporting_token
from tests.vectors.documents import Vector
from tests.vectors.made.contents import what_is_shown, why_unreadable
from tests.vectors.replays.reading import octets, optional_octets


def padding(vector: Vector) -> None:
    """Pads, and takes the padding off."""
    try:
        content = unpad(octets(vector, "padded"))
    except InvalidContent:
        content = None
    assert vector["valid"] == (content is not None)
    assert optional_octets(vector, "content") == content
    assert (vector["padding_length"] is None) == (content is None)
    if content is not None:
        assert pad(content, vector["padding_length"]) == octets(vector, "padded")


def content(vector: Vector) -> None:
    """Reads the message, and says what a person sees of it."""
    serialized = octets(vector, "serialized")
    assert (vector["content_field"], vector["shown"], vector["unsupported_kind"]) == what_is_shown(serialized)
    if vector["json"] is not None:
        message = content_pb2.Message.FromString(serialized)
        assert vector["json"] == MessageToDict(message)
        assert ParseDict(vector["json"], content_pb2.Message()) == _known(message)
    shown = vector["shown"] == "content"
    assert vector["text"] == (_text(content_pb2.Message.FromString(serialized)) if shown else None)


def _known(message: content_pb2.Message) -> content_pb2.Message:
    message.DiscardUnknownFields()
    return message


def _text(message: content_pb2.Message) -> str | None:
    parts: list[tuple[Any, str]] = [
        (message, "conversation"),
        (message.extended_text_message, "text"),
        (message.image_message, "caption"),
        (message.video_message, "caption"),
        (message.document_message, "title"),
        (message.reaction_message, "text"),
        (message.protocol_message.edited_message, "conversation"),
    ]
    return next((getattr(part, name) for part, name in parts if part.HasField(name)), None)


def unreadable_message(vector: Vector) -> None:
    """Reads the message of a session, as far as it goes."""
    error = vector["error"], vector["retry_reason"]
    assert error == why_unreadable(vector["message_type"], octets(vector, "message"))


def committed(vector: Vector) -> None:
    """Computes the token where it is right, and checks it as a server does."""
    message_secret, content, token = (octets(vector, name) for name in ("message_secret", "content", "reporting_token"))
    told = (message_secret, vector["sender_jid"], vector["recipient_jid"], vector["message_id"], content)
    parts = [b"interopsim reporting token 1", *(name.encode() for name in told[1:4]), content]
    assert octets(vector, "covered") == b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert vector["valid"] == is_reporting_token(token, *told)
    if vector["valid"]:
        assert token == reporting_token(*told)
