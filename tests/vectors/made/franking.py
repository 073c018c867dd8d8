"""Reporting tokens: what a sender commits to."""

from interop_api.e2ee.v1 import content_pb2
from interop_client.signal.content import serialize_message
from interop_protocol.franking import is_reporting_token, reporting_token
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import flag, octets, text
from tests.vectors.fixed import flip, secret, seq

_FIELDS = {
    "message_secret": octets("message_context_info.message_secret."),
    "sender_jid": text("The sender's, without a device."),
    "recipient_jid": text("The recipient's, without a device."),
    "message_id": text("Message.id of the stanza."),
    "content": octets("The serialised Message of content.proto, without padding."),
    "covered": octets("What the HMAC covers: label, JIDs, id and content, each after its length in 4 bytes."),
    "reporting_token": octets("Message.reporting_token of the stanza.", 16),
    "valid": flag("Whether a server believes a report with it."),
}
_SENDER, _RECIPIENT = "12-10853634039893@interop", "4915112345678@s.whatsapp.net"
_LABEL = b"interopsim reporting token 1"


def document() -> Document:
    """Returns the file."""
    key = secret("franking")
    content = serialize_message(
        content_pb2.Message(
            conversation="Hello", message_context_info=content_pb2.MessageContextInfo(message_secret=key)
        )
    )
    right = (key, _SENDER, _RECIPIENT, "3EB0A1B2C3", content)
    token = reporting_token(*right)
    spec = (seq(0), "12-34@interop", "491511234567@s.whatsapp.net", "m1", b"Hi")
    unicode = serialize_message(content_pb2.Message(conversation="Zo\u00eb \U0001f44b"))
    beyond_ascii = (key, _SENDER, _RECIPIENT, "3EB0A1B2C4", unicode)
    return Document(
        "reporting_tokens",
        "Reporting tokens. As a sender: compute the token. As a server: a report is believed when the token of the "
        "message is the one that what was revealed gives.",
        ("ABU-04",),
        _FIELDS,
        [
            _vector("spec", "The one of SPEC.md: its content is the text Hi.", spec, reporting_token(*spec)),
            _vector("text", "A message with its secret in it.", right, token),
            _vector("beyond-ascii", "UTF-8 inside.", beyond_ascii, reporting_token(*beyond_ascii)),
            _vector("no-content", "Nothing is still covered by its length.", (*right[:4], b""),
                    reporting_token(*right[:4], b"")),
            _vector("other-content", "Who reports claims another text.", (*right[:4], flip(content, 3)), token),
            _vector("other-recipient", "It was sent to somebody else.", (*right[:2], "1-1@interop", *right[3:]), token),
            _vector("other-id", "It is the token of another message.", (*right[:3], "3EB0A1B2C4", content), token),
            _vector("other-secret", "Another secret.", (flip(key), *right[1:]), token),
            _vector("secret-cut", "A secret has 32 bytes, even where the HMAC is right.", (key[:-1], *right[1:]),
                    reporting_token(key[:-1], *right[1:])),
        ],
    )  # fmt: skip


def _vector(name: str, comment: str, given: tuple[bytes, str, str, str, bytes], token: bytes) -> Vector:
    key, sender, recipient, message_id, content = given
    parts = (_LABEL, sender.encode(), recipient.encode(), message_id.encode(), content)
    return {
        "name": name,
        "comment": comment,
        "message_secret": key.hex(),
        "sender_jid": sender,
        "recipient_jid": recipient,
        "message_id": message_id,
        "content": content.hex(),
        "covered": b"".join(len(part).to_bytes(4, "big") + part for part in parts).hex(),
        "reporting_token": token.hex(),
        "valid": is_reporting_token(token, *given),
    }
