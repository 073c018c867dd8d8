"""Reporting tokens: how a recipient can prove to the server what a sender wrote; knows no message format.

The sender puts a random secret into each message and sends, beside the ciphertext, a token that commits to all of it.
The server keeps the token and cannot read anything from it. A recipient who reports the message reveals its plaintext
and secret, and the server checks both against the token. So no sender can be accused of a message that they did not
write, and a message stays deniable until its recipient reports it. Source: ABU-04; threat T18.
"""

import hmac

MESSAGE_SECRET_BYTES = 32
"""Length of a message secret; as observed (WIRE)."""
REPORTING_TOKEN_BYTES = 16
"""Length of a reporting token; as observed (WIRE)."""

_LABEL = b"interopsim reporting token 1"


def reporting_token(
    message_secret: bytes, sender_jid: str, recipient_jid: str, message_id: str, plaintext: bytes
) -> bytes:
    """Returns the token that commits to a message: HMAC-SHA256 under the message secret, its first 16 bytes.

    It covers a label, both JIDs, the id and the plaintext, each after its own length in 4 bytes, big-endian. The
    construction is the simulator's own: the real one is not public.

    Args:
        message_secret: 32 bytes, new for every message.
        sender_jid: JID of the sender, as text.
        recipient_jid: JID of the recipient, as text.
        message_id: Id of the message.
        plaintext: The serialised `Message` of content.proto, without padding; it includes the secret.
    """
    parts = (_LABEL, sender_jid.encode(), recipient_jid.encode(), message_id.encode(), plaintext)
    covered = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(message_secret, covered, "sha256")[:REPORTING_TOKEN_BYTES]


def is_reporting_token(
    token: bytes, message_secret: bytes, sender_jid: str, recipient_jid: str, message_id: str, plaintext: bytes
) -> bool:
    """Says whether a token commits to a message; see `reporting_token`. False for a secret of the wrong length."""
    if len(message_secret) != MESSAGE_SECRET_BYTES:
        return False
    expected = reporting_token(message_secret, sender_jid, recipient_jid, message_id, plaintext)
    return hmac.compare_digest(token, expected)
