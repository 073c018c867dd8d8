"""Contents: padding, the serialised forms of every kind of message, and messages of a session that cannot be read."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from interop_api.e2ee.v1 import content_pb2, session_pb2
from interop_client.signal import InvalidContent, InvalidKey, InvalidMessage
from interop_client.signal.content import content_fields, pad, parse_message, unpad, unsupported_kind
from interop_client.signal.messages import PreKeySignalMessage, SignalMessage
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import anything, choice, flag, number, octets, optional, text
from tests.vectors.fixed import public_key, secret

_PADDING_FIELDS = {
    "content": optional(octets("What is padded; null where the padding is broken.")),
    "padding_length": optional(number("1 to 16: a sender chooses it at random; null where the padding is broken.")),
    "padded": octets("What a session encrypts."),
    "valid": flag("Whether a receiver can take the padding off."),
}
_CONTENT_FIELDS = {
    "serialized": octets("A Message of content.proto, without padding."),
    "json": optional(anything("The same as protobuf's own JSON, without unknown fields; null: it is no Message.")),
    "content_field": optional(
        text("The one field that is set, by its name in content.proto; null: none, or no message.")
    ),
    "text": optional(text("What there is to read: the text, caption, title or emoji; null where there is none.")),
    "shown": choice("What a receiver does.", "content", "not_supported", "nothing"),
    "unsupported_kind": optional(text("What the Python SDK calls a content that it says it cannot show.")),
}
_MESSAGE_FIELDS = {
    "message_type": choice("The type beside the ciphertext.", "pkmsg", "msg"),
    "message": octets("Enc.ciphertext, as it came."),
    "error": choice("Why it cannot be read, before any key is looked for.", "INVALID_MESSAGE", "INVALID_KEY"),
    "retry_reason": number("The RetryReason that a retry receipt names for it."),
}


def paddings() -> Document:
    """Returns the file of paddings."""
    content = content_pb2.Message(conversation="Hello").SerializeToString(deterministic=True)
    good = [("one", 1, content), ("four", 4, content), ("sixteen", 16, content), ("empty", 7, b"")]
    bad = [
        ("nothing", "No bytes: there is always padding.", b""),
        ("zero", "The last byte is 0.", content + b"\0"),
        ("seventeen", "More than 16.", content + b"\x11" * 17),
        ("longer-than-all", "More padding than there are bytes.", b"\4" * 3),
        ("different", "Its bytes differ.", content + b"\3\4\4\4"),
    ]
    return Document(
        "content_padding",
        "The padding of what a session encrypts. As a sender: pad with so many bytes. As a receiver: take the padding "
        "off, or show that the message cannot be read.",
        ("MSG-12",),
        _PADDING_FIELDS,
        [
            *(
                {
                    "name": f"padded-with-{name}",
                    "comment": "Each byte of the padding holds the number of these bytes.",
                    "content": given.hex(),
                    "padding_length": length,
                    "padded": pad(given, length).hex(),
                    "valid": _is_padded(pad(given, length)),
                }
                for name, length, given in good
            ),
            *(
                {
                    "name": f"broken-{name}",
                    "comment": comment,
                    "content": None,
                    "padding_length": None,
                    "padded": padded.hex(),
                    "valid": _is_padded(padded),
                }
                for name, comment, padded in bad
            ),
        ],
    )


def _is_padded(padded: bytes) -> bool:
    try:
        unpad(padded)
    except InvalidContent:
        return False
    return True


def contents() -> Document:
    """Returns the file of contents."""
    described: dict[str, Any] = {
        "file_sha256": secret("content file"),
        "file_enc_sha256": secret("content blob"),
        "media_key": secret("content media key"),
        "file_length": 32,
        "direct_path": "/v/t62/example",
    }
    key = content_pb2.MessageKey(remote_jid="4915112345678@s.whatsapp.net", from_me=True, id="3EB0A1B2C3")
    context = content_pb2.MessageContextInfo(message_secret=secret("content secret"))
    quoted = content_pb2.ContextInfo(
        stanza_id="3EB0A1B2C3",
        participant="4915112345678@s.whatsapp.net",
        quoted_message=content_pb2.Message(conversation="Hello"),
    )
    edit = content_pb2.ProtocolMessage(
        key=key,
        type=content_pb2.PROTOCOL_MESSAGE_TYPE_MESSAGE_EDIT,
        edited_message=content_pb2.Message(conversation="Hello there"),
        timestamp_ms=1_750_000_000_000,
    )
    given: list[tuple[str, str, Message | bytes, str | None]] = [
        ("text", "Plain text.", content_pb2.Message(conversation="Hello"), "Hello"),
        ("text-with-secret", "The secret of its reporting token is beside it.",
         content_pb2.Message(conversation="Hello", message_context_info=context), "Hello"),
        ("reply", "Text that answers a message.",
         content_pb2.Message(extended_text_message=content_pb2.ExtendedTextMessage(
             text="Hello yourself", context_info=quoted)), "Hello yourself"),
        ("image", "A picture with a caption.",
         content_pb2.Message(image_message=content_pb2.ImageMessage(
             mimetype="image/png", caption="A dot", **described)), "A dot"),
        ("video", "A film.",
         content_pb2.Message(video_message=content_pb2.VideoMessage(
             mimetype="video/mp4", caption="A line", seconds=3, **described)), "A line"),
        ("audio", "A recording.",
         content_pb2.Message(audio_message=content_pb2.AudioMessage(
             mimetype="audio/mpeg", seconds=3, **described)), None),
        ("voice", "A voice message: `ptt`.",
         content_pb2.Message(audio_message=content_pb2.AudioMessage(
             mimetype="audio/ogg; codecs=opus", seconds=3, ptt=True, **described)), None),
        ("document", "A file.",
         content_pb2.Message(document_message=content_pb2.DocumentMessage(
             mimetype="application/pdf", title="A page", file_name="page.pdf", **described)), "A page"),
        ("reaction", "An emoji on an earlier message.",
         content_pb2.Message(reaction_message=content_pb2.ReactionMessage(
             key=key, text="\U0001f44d", sender_timestamp_ms=1_750_000_000_000)), "\U0001f44d"),
        ("reaction-taken-off", "An empty text takes it off.",
         content_pb2.Message(reaction_message=content_pb2.ReactionMessage(key=key, text="")), ""),
        ("revoke", "Delete for everybody: type 0, which is written.",
         content_pb2.Message(protocol_message=content_pb2.ProtocolMessage(
             key=key, type=content_pb2.PROTOCOL_MESSAGE_TYPE_REVOKE)), None),
        ("edit", "Another text.", content_pb2.Message(protocol_message=edit), "Hello there"),
        ("newer-field-beside", "A field that nobody knows, beside a content, is ignored.",
         _bytes(content_pb2.Message(conversation="Hello")) + b"\xfa\x3e\x01\x00", "Hello"),
        ("sticker", "Field 26: say that it cannot be shown.", b"\xd2\x01\x00", None),
        ("disappearing", "Field 40, likewise.", b"\xc2\x02\x00", None),
        ("newer-content", "Only a field that nobody knows.", b"\xfa\x3e\x01\x00", None),
        ("change-without-type", "No type is not REVOKE, although that is 0: nothing is deleted.",
         content_pb2.Message(protocol_message=content_pb2.ProtocolMessage(key=key)), None),
        ("disappearing-setting", "A change that third-party chats do not support.",
         content_pb2.Message(protocol_message=content_pb2.ProtocolMessage(
             type=content_pb2.PROTOCOL_MESSAGE_TYPE_EPHEMERAL_SETTING)), None),
        ("no-content", "Only the context.", content_pb2.Message(message_context_info=context), None),
        ("two-contents", "Exactly one is set.",
         content_pb2.Message(conversation="Hello", reaction_message=content_pb2.ReactionMessage(text="x")), None),
        ("nothing", "No field at all.", b"", None),
        ("no-protobuf", "Bytes that are no message.", b"\xff" * 5, None),
    ]  # fmt: skip
    return Document(
        "contents",
        "What is inside of a message, without padding. `content`: it is shown. `not_supported`: the client says that it"
        " cannot show it. `nothing`: it is no valid message, and sending it again would not help.",
        ("MSG-12",),
        _CONTENT_FIELDS,
        [_content(*each) for each in given],
    )


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _content(name: str, comment: str, given: Message | bytes, read: str | None) -> Vector:
    serialized = given if isinstance(given, bytes) else _bytes(given)
    field, shown, kind = what_is_shown(serialized)
    return {
        "name": name,
        "comment": comment,
        "serialized": serialized.hex(),
        "json": _json(serialized),
        "content_field": field,
        "text": read,
        "shown": shown,
        "unsupported_kind": kind,
    }


def _json(serialized: bytes) -> Any:
    try:
        return MessageToDict(content_pb2.Message.FromString(serialized))
    except DecodeError:
        return None


def what_is_shown(serialized: bytes) -> tuple[str | None, str, str | None]:
    """Returns the field of a content, what a receiver does with it, and the kind of one that is not supported."""
    try:
        message = parse_message(serialized)
    except InvalidContent:
        return None, "nothing", None
    (field,) = content_fields(message) or (None,)
    kind = unsupported_kind(message)
    return field, "not_supported" if kind else "content", kind


def malformed_messages() -> Document:
    """Returns the file of messages of a session that cannot be read."""
    key, block = b"\5" + public_key(secret("malformed ratchet")), bytes(16)
    whole = session_pb2.SignalMessage(ratchet_key=key, counter=0, previous_counter=0, ciphertext=block)
    inner = b"\x33" + _bytes(whole) + bytes(8)
    first = session_pb2.PreKeySignalMessage(
        pre_key_id=1, base_key=key, identity_key=key, message=inner, registration_id=1, signed_pre_key_id=1
    )
    given = [
        ("empty", "No bytes.", "msg", b""),
        ("only-version", "The version byte and nothing else.", "msg", b"\x33"),
        ("version-2", "A session version that ended long ago.", "msg", b"\x23" + inner[1:]),
        ("version-4", "A newer session version: there is no talking down.", "msg", b"\x44" + inner[1:]),
        ("no-protobuf", "No message behind the version byte.", "msg", b"\x33" + b"\xff" * 20),
        ("no-ratchet-key", "A field is missing.", "msg", _signal(whole, "ratchet_key")),
        ("no-counter", "A field is missing: 0 is written, too.", "msg", _signal(whole, "counter")),
        ("no-ciphertext", "A field is missing.", "msg", _signal(whole, "ciphertext")),
        ("half-a-block", "The ciphertext is not whole blocks of 16 bytes.", "msg",
         _signal(whole, ciphertext=bytes(24))),
        ("ratchet-key-without-type", "32 bytes without 0x05.", "msg", _signal(whole, ratchet_key=key[1:])),
        ("ratchet-key-of-another-type", "33 bytes that begin with 0x06.", "msg",
         _signal(whole, ratchet_key=b"\6" + key[1:])),
        ("ratchet-key-weak", "A key of low order.", "msg", _signal(whole, ratchet_key=b"\5" + bytes(32))),
        ("first-version-4", "A first message of a session with a post-quantum key.", "pkmsg", b"\x44" + _bytes(first)),
        ("first-no-base-key", "A field is missing.", "pkmsg", _prekey(first, "base_key")),
        ("first-no-signed-prekey", "A field is missing.", "pkmsg", _prekey(first, "signed_pre_key_id")),
        ("first-no-message", "A field is missing.", "pkmsg", _prekey(first, "message")),
        ("first-identity-weak", "A key of low order.", "pkmsg", _prekey(first, identity_key=b"\5" + bytes(32))),
        ("first-as-message", "A PreKeySignalMessage under the type `msg`.", "msg", b"\x33" + _bytes(first)),
    ]  # fmt: skip
    return Document(
        "message_refusals",
        "Messages of a session that cannot be read whatever the session: a receiver answers each with a retry receipt.",
        ("MSG-03", "RCP-04", "KEY-02"),
        _MESSAGE_FIELDS,
        [_malformed(*each) for each in given],
    )


def _signal(message: session_pb2.SignalMessage, without: str = "", **fields: bytes) -> bytes:
    return b"\x33" + _bytes(_changed(message, without, fields)) + bytes(8)


def _prekey(message: session_pb2.PreKeySignalMessage, without: str = "", **fields: bytes) -> bytes:
    return b"\x33" + _bytes(_changed(message, without, fields))


def _changed(message: Message, without: str, fields: dict[str, bytes]) -> Message:
    changed = type(message)()
    changed.CopyFrom(message)
    if without:
        changed.ClearField(without)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _malformed(name: str, comment: str, message_type: str, body: bytes) -> Vector:
    error, retry_reason = why_unreadable(message_type, body)
    return {
        "name": name,
        "comment": comment,
        "message_type": message_type,
        "message": body.hex(),
        "error": error,
        "retry_reason": retry_reason,
    }


def why_unreadable(message_type: str, body: bytes) -> tuple[str, int]:
    """Returns why a message cannot be read, with its RetryReason; empty and 0 if it can."""
    try:
        (PreKeySignalMessage if message_type == "pkmsg" else SignalMessage).decode(body)
    except InvalidMessage as error:
        return "INVALID_MESSAGE", error.retry_reason
    except InvalidKey as error:
        return "INVALID_KEY", error.retry_reason
    return "", 0
