"""What people send, as the `Message` of content.proto and back; knows no encryption and no wire.

Source: interop_api/e2ee/v1/content.proto; MSG-12.
"""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.events import Incoming, MediaReceived, Message, ReactionReceived, TextReceived
from interop_client.media import MediaReference
from interop_client.media_crypto import MEDIA_KEY_BYTES, EncryptedMedia, MediaType
from interop_client.signal.content import content_fields
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


def text_content(text: str, reply_to: Incoming | None = None) -> content_pb2.Message:
    """Returns a text, as an answer to a message or on its own."""
    if reply_to is None:
        return content_pb2.Message(conversation=text)
    context = content_pb2.ContextInfo(stanza_id=reply_to.id, participant=reply_to.sender)
    if isinstance(reply_to, TextReceived):
        context.quoted_message.conversation = reply_to.text
    return content_pb2.Message(extended_text_message=content_pb2.ExtendedTextMessage(text=text, context_info=context))


def reaction_content(peer: str, message_id: str, emoji: str, *, is_own_message: bool = False) -> content_pb2.Message:
    """Returns a reaction; an empty emoji takes one off.

    Args:
        peer: JID of the other side of the chat.
        message_id: Id of the message reacted to.
        emoji: The reaction.
        is_own_message: Whether the one who reacts wrote that message.
    """
    key = content_pb2.MessageKey(remote_jid=peer, from_me=is_own_message, id=message_id)
    return content_pb2.Message(reaction_message=content_pb2.ReactionMessage(key=key, text=emoji))


def media_content(reference: MediaReference) -> content_pb2.Message:
    """Returns a file."""
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


def with_message_secret(content: content_pb2.Message) -> content_pb2.Message:
    """Returns a content with a message secret, the key of its reporting token (ABU-04): its own, or else a new one."""
    sent = content_pb2.Message()
    sent.CopyFrom(content)
    if not content.message_context_info.message_secret:
        sent.message_context_info.message_secret = os.urandom(MESSAGE_SECRET_BYTES)
    return sent


def message_type(content: content_pb2.Message) -> stanza_pb2.MessageType.ValueType:
    """Returns what the server may know of a content."""
    if content.HasField("reaction_message"):
        return stanza_pb2.MESSAGE_TYPE_REACTION
    if content.HasField("conversation") or content.HasField("extended_text_message"):
        return stanza_pb2.MESSAGE_TYPE_TEXT
    return stanza_pb2.MESSAGE_TYPE_MEDIA


def message_event(content: content_pb2.Message, envelope: Incoming) -> Message:
    """Returns what came, for the user.

    Args:
        content: The decrypted content, with exactly one field set.
        envelope: What the stanza says.

    Raises:
        InvalidContent: A media message lacks what is needed to open it.
    """
    facts: dict[str, Any] = {fact.name: getattr(envelope, fact.name) for fact in fields(Incoming)}
    if content.HasField("conversation"):
        return TextReceived(**facts, text=content.conversation, reply_to=None)
    if content.HasField("extended_text_message"):
        extended = content.extended_text_message
        return TextReceived(**facts, text=extended.text, reply_to=extended.context_info.stanza_id or None)
    if content.HasField("reaction_message"):
        reaction = content.reaction_message
        return ReactionReceived(**facts, target_id=reaction.key.id, emoji=reaction.text)
    return MediaReceived(**facts, media=_media_reference(content))


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
        # A name is the sender's text: a folder in it must not become one here.
        name=_own_name(field, media),
    )


def _own_name(field: str, media: Any) -> str:
    if field not in _NAME_FIELDS:
        return ""
    name: str = getattr(media, _NAME_FIELDS[field])
    return Path(name).name if field == "document_message" else name
