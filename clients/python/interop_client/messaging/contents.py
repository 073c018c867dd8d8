"""Writes and reads contents as the `Message` of content.proto; knows no encryption and no wire.

Source: interop_api/e2ee/v1/content.proto; MSG-12.
"""

import os
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, ParamSpec

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import integrity_pb2, stanza_pb2
from interop_client.media.crypto import MEDIA_KEY_BYTES, EncryptedMedia, MediaType
from interop_client.media.file_names import harmless_name
from interop_client.media.reference import MediaReference
from interop_client.messaging.events import (
    ChangeRefused,
    DeletionReceived,
    EditReceived,
    Incoming,
    MediaReceived,
    Message,
    ReactionReceived,
    TextReceived,
    Unsupported,
)
from interop_client.signal.content import MAX_QUOTE_BYTES, content_fields, serialize_message, unsupported_kind
from interop_client.signal.errors import InvalidContent
from interop_protocol.franking import MESSAGE_SECRET_BYTES
from interop_protocol.sizes import SHA256_BYTES

_MEDIA_TYPES = {
    "image_message": MediaType.IMAGE,
    "document_message": MediaType.DOCUMENT,
    "audio_message": MediaType.AUDIO,
    "video_message": MediaType.VIDEO,
}
_NAME_FIELDS = {"image_message": "caption", "document_message": "file_name", "video_message": "caption"}
_FIELDS = {media_type: field for field, media_type in _MEDIA_TYPES.items()}
_LONGEST_FILE, _LONGEST_PATH = (1 << 63) - 1, "/" * 512
"""More than what there is of a file once it is uploaded."""

P = ParamSpec("P")


def _of_unicode(build: Callable[P, content_pb2.Message]) -> Callable[P, content_pb2.Message]:
    """Makes half of a surrogate pair, which JSON and names of files can have, what it is: nothing that can be sent."""

    @wraps(build)
    def checked(*args: P.args, **kwargs: P.kwargs) -> content_pb2.Message:
        try:
            return build(*args, **kwargs)
        except UnicodeEncodeError as error:
            raise InvalidContent("what is to be sent is not Unicode text: it has half of a surrogate pair") from error

    return checked


@_of_unicode
def text_content(text: str, reply_to: Incoming | None = None) -> content_pb2.Message:
    """Returns the content of a text, as an answer to a message or on its own."""
    if reply_to is None:
        return content_pb2.Message(conversation=text)
    context = content_pb2.ContextInfo(stanza_id=reply_to.id, participant=reply_to.sender)
    if isinstance(reply_to, TextReceived):
        context.quoted_message.conversation = _quote(reply_to.text)
    return content_pb2.Message(extended_text_message=content_pb2.ExtendedTextMessage(text=text, context_info=context))


def _quote(text: str) -> str:
    """Returns what an answer repeats of a text: its beginning, up to a whole character."""
    return text.encode()[:MAX_QUOTE_BYTES].decode(errors="ignore")


@_of_unicode
def reaction_content(peer: str, message_id: str, emoji: str, *, is_own_message: bool = False) -> content_pb2.Message:
    """Returns the content of a reaction; an empty emoji removes a reaction.

    Args:
        peer: JID of the other side of the chat.
        message_id: Id of the message reacted to.
        emoji: The reaction.
        is_own_message: Whether the user who reacts sent that message.
    """
    key = content_pb2.MessageKey(remote_jid=peer, from_me=is_own_message, id=message_id)
    return content_pb2.Message(reaction_message=content_pb2.ReactionMessage(key=key, text=emoji))


def media_content(reference: MediaReference) -> content_pb2.Message:
    """Returns the content of a media message."""
    content = content_pb2.Message()
    field = _FIELDS[reference.media_type]
    media: Any = getattr(content, field)
    media.mimetype = reference.mimetype
    media.file_sha256 = reference.encrypted.plaintext_sha256
    media.file_length = reference.encrypted.plaintext_length
    media.media_key = reference.media_key
    media.file_enc_sha256 = reference.encrypted.ciphertext_sha256
    media.direct_path = reference.direct_path
    if reference.name and field in _NAME_FIELDS:
        setattr(media, _NAME_FIELDS[field], reference.name)
    return content


def check_description(media_type: MediaType, mimetype: str, name: str) -> None:
    """Checks what is said of a file, before it is uploaded.

    Raises:
        InvalidContent: The MIME type or the name is not text that can be sent, or too long.
    """
    digest = bytes(SHA256_BYTES)
    encrypted = EncryptedMedia(digest, _LONGEST_FILE, digest)
    try:
        content = media_content(MediaReference(media_type, _LONGEST_PATH, digest, encrypted, mimetype, name))
    except ValueError as error:
        raise InvalidContent("the name, caption or MIME type of a file is not Unicode text") from error
    serialize_message(content)


def with_blob(
    content: content_pb2.Message, encrypted: EncryptedMedia, media_key: bytes, path: str
) -> content_pb2.Message:
    """Returns the content of a media message with another blob, for a file that was uploaded again (MED-08)."""
    again = content_pb2.Message()
    again.CopyFrom(content)
    [field] = content_fields(content)
    media: Any = getattr(again, field)
    media.file_sha256 = encrypted.plaintext_sha256
    media.file_length = encrypted.plaintext_length
    media.media_key = media_key
    media.file_enc_sha256 = encrypted.ciphertext_sha256
    media.direct_path = path
    return again


def media_type_of(content: content_pb2.Message) -> MediaType | None:
    """Returns the media type of a content; None when it is not a media message."""
    fields_set = content_fields(content)
    return _MEDIA_TYPES.get(fields_set[0]) if fields_set else None


@_of_unicode
def edit_content(peer: str, message_id: str, text: str, at_ms: int) -> content_pb2.Message:
    """Returns the content that edits one of the sender's texts.

    Args:
        peer: JID of the other side of the chat.
        message_id: Id of the message.
        text: The new text.
        at_ms: When the sender edited it, on their own clock: milliseconds since the UNIX epoch.
    """
    change = content_pb2.ProtocolMessage(
        key=content_pb2.MessageKey(remote_jid=peer, from_me=True, id=message_id),
        type=content_pb2.PROTOCOL_MESSAGE_TYPE_MESSAGE_EDIT,
        edited_message=content_pb2.Message(conversation=text),
        timestamp_ms=at_ms,
    )
    return content_pb2.Message(protocol_message=change)


@_of_unicode
def deletion_content(peer: str, message_id: str) -> content_pb2.Message:
    """Returns the content that deletes one of the sender's messages on both sides."""
    change = content_pb2.ProtocolMessage(
        key=content_pb2.MessageKey(remote_jid=peer, from_me=True, id=message_id),
        type=content_pb2.PROTOCOL_MESSAGE_TYPE_REVOKE,
    )
    return content_pb2.Message(protocol_message=change)


def with_message_secret(content: content_pb2.Message) -> content_pb2.Message:
    """Returns a content with a message secret, the key of its reporting token (ABU-04); adds one if it has none."""
    sent = content_pb2.Message()
    sent.CopyFrom(content)
    if not content.message_context_info.message_secret:
        sent.message_context_info.message_secret = os.urandom(MESSAGE_SECRET_BYTES)
    return sent


def reported_message(message: Incoming, *, reveal: bool) -> integrity_pb2.ReportedMessage:
    """Returns a message for a report, with its plaintext if the recipient reveals it and can prove it (ABU-04)."""
    reported = integrity_pb2.ReportedMessage(message_id=message.id)
    if reveal and message.evidence is not None:
        reported.plaintext = message.evidence.plaintext
        reported.message_secret = message.evidence.message_secret
    return reported


def message_type(content: content_pb2.Message) -> stanza_pb2.MessageType.ValueType:
    """Returns the type of a content, which is all that the server may know of it."""
    if content.HasField("reaction_message"):
        return stanza_pb2.MESSAGE_TYPE_REACTION
    return stanza_pb2.MESSAGE_TYPE_MEDIA if media_type_of(content) is not None else stanza_pb2.MESSAGE_TYPE_TEXT


def message_event(content: content_pb2.Message, envelope: Incoming) -> Message:
    """Returns the event of a received content.

    Args:
        content: The decrypted content, with exactly one field set, or an unsupported one.
        envelope: The facts from the stanza.

    Raises:
        InvalidContent: A media message lacks the key, digests or path of its blob; an edit or deletion names no
            message; or an edit has no new text.
    """
    facts: dict[str, Any] = {fact.name: getattr(envelope, fact.name) for fact in fields(Incoming)}
    if (kind := unsupported_kind(content)) is not None:
        return Unsupported(**facts, kind=kind)
    if content.HasField("protocol_message"):
        return _change_event(content.protocol_message, facts)
    if content.HasField("conversation"):
        return TextReceived(**facts, text=content.conversation, reply_to=None)
    if content.HasField("extended_text_message"):
        extended = content.extended_text_message
        return TextReceived(**facts, text=extended.text, reply_to=extended.context_info.stanza_id or None)
    if content.HasField("reaction_message"):
        reaction = content.reaction_message
        return ReactionReceived(**facts, target_id=reaction.key.id, emoji=reaction.text)
    return MediaReceived(**facts, media=_media_reference(content))


def _change_event(change: content_pb2.ProtocolMessage, facts: dict[str, Any]) -> Message:
    target_id = change.key.id
    if not target_id:
        raise InvalidContent("a change names no message")
    if not change.key.from_me:
        return ChangeRefused(**facts, target_id=target_id, reason="NOT_OWN")
    if change.type == content_pb2.PROTOCOL_MESSAGE_TYPE_REVOKE:
        return DeletionReceived(**facts, target_id=target_id)
    if content_fields(change.edited_message) != ["conversation"]:
        raise InvalidContent("an edit holds no new text")
    return EditReceived(**facts, target_id=target_id, text=change.edited_message.conversation)


def _media_reference(content: content_pb2.Message) -> MediaReference:
    [field] = content_fields(content)
    media: Any = getattr(content, field)
    if (
        len(media.media_key) != MEDIA_KEY_BYTES
        or len(media.file_sha256) != SHA256_BYTES
        or len(media.file_enc_sha256) != SHA256_BYTES
        or not media.direct_path.startswith("/")
    ):
        raise InvalidContent(f"{field} lacks the key, the digests or the path of its blob")
    return MediaReference(
        media_type=_MEDIA_TYPES[field],
        direct_path=media.direct_path,
        media_key=media.media_key,
        encrypted=EncryptedMedia(media.file_sha256, media.file_length, media.file_enc_sha256),
        mimetype=media.mimetype,
        name=_own_name(field, media),
    )


def _own_name(field: str, media: Any) -> str:
    if field not in _NAME_FIELDS:
        return ""
    name: str = getattr(media, _NAME_FIELDS[field])
    return harmless_name(name) if name and field == "document_message" else name
