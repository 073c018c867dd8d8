"""The errors of a Signal session, one class for each decision of the caller; knows no transport.

Each class carries `retry_reason`, the code that a retry receipt names for it (protocol facts 4.6). Zero means that a
retry would not help.
"""

from typing import ClassVar


class SignalError(Exception):
    """A message cannot be encrypted or decrypted, or a session cannot be built."""

    retry_reason: ClassVar[int] = 0
    """Reason code of a retry receipt; 0 when there is nothing to retry."""


class NoSession(SignalError):
    """There is no session with this party: take its prekey bundle, or ask it to send a prekey message."""

    retry_reason = 1


class InvalidKey(SignalError):
    """A public key has a wrong length or type, or no shared secret can be agreed with it."""

    retry_reason = 2


class UntrustedIdentity(SignalError):
    """The other party's identity key is not the one known so far: ask the user, then accept or refuse it.

    Args:
        remote: JID of the other party.
        known: The pinned identity key, 32 bytes.
        presented: The identity key presented now, 32 bytes.
    """

    retry_reason = 2

    def __init__(self, remote: str, known: bytes, presented: bytes) -> None:
        super().__init__(f"the identity key of {remote} has changed")
        self.remote = remote
        self.known = known
        self.presented = presented


class InvalidKeyId(SignalError):
    """A prekey message names a prekey that this device no longer holds: the sender must take a new bundle."""

    retry_reason = 3


class InvalidMessage(SignalError):
    """The bytes are not a message of session version 3: ask for it again."""

    retry_reason = 4


class InvalidSignature(SignalError):
    """A bundle's signed prekey is not signed by its identity key: do not use the bundle."""

    retry_reason = 5


class MissingKemPreKey(SignalError):
    """A bundle lacks a KEM prekey, although the party has published some before: ask the user whether to go on."""


class TooFarInFuture(SignalError):
    """The message's counter is too far ahead of its chain: a new session is needed."""

    retry_reason = 6


class BadMac(SignalError):
    """The message belongs to a session of this device, but was altered in transit: ask for it again."""

    retry_reason = 7


class InvalidSession(SignalError):
    """No session here fits the message: its sender uses a lost one, or it was altered; begin a new session."""

    retry_reason = 8


class DuplicateMessage(SignalError):
    """The message's key was used before.

    If it is the same delivery again, ack it and show nothing. Otherwise the sender has restored an old backup and used
    the key twice: ask for the message again, under another key.
    """

    retry_reason = 9


class InvalidContent(SignalError):
    """The message is authentic, but its plaintext is not a valid content: sending it again would not help."""


class UnsupportedContent(InvalidContent):
    """Third-party chats do not support this kind of content: do not send it (MSG-12)."""


class InvalidSnapshot(SignalError):
    """The bytes are not a saved state that this release can read."""
