"""What the kit reads in ciphertexts, and how it seals messages as no right client would; knows no check."""

import itertools
from collections.abc import Callable

from interop_api.v1 import stanza_pb2
from interop_client.signal.chain import MessageKeys
from interop_client.signal.errors import SignalError
from interop_client.signal.messages import MAC_BYTES, Authentication, PreKeySignalMessage, SignalMessage
from interop_client.signal.session import Session
from interop_conformance.check import NotSo
from interop_conformance.people import Person

PREKEY_MESSAGE = stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE
DOUBLE_RATCHET = stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET


def types_of(messages: list[stanza_pb2.Message]) -> list[str]:
    """Returns of each message the types of its ciphertexts, for a report and to compare."""
    names = [[stanza_pb2.CiphertextType.Name(enc.type) for enc in message.enc] for message in messages]
    return [" and ".join(each).replace("CIPHERTEXT_TYPE_", "") for each in names]


def signal_message(message: stanza_pb2.Message) -> SignalMessage:
    """Returns the Double Ratchet message in a message that a subject has sent.

    Raises:
        NotSo: There is none.
    """
    try:
        if message.enc[0].type == PREKEY_MESSAGE:
            return PreKeySignalMessage.decode(message.enc[0].ciphertext).message
        return SignalMessage.decode(message.enc[0].ciphertext)
    except (SignalError, IndexError) as error:
        raise NotSo("a message of session version 3", f"{type(error).__name__}: {error}") from error


def keys_used(messages: list[stanza_pb2.Message]) -> list[tuple[bytes, int]]:
    """Returns by which key each message was encrypted: its ratchet key, and its number in that chain."""
    headers = [signal_message(message).header for message in messages]
    return [(header.ratchet_key, header.counter) for header in headers]


def current_session(person: Person, to: str) -> Session:
    """Returns the session with which a person encrypts."""
    return person.client.state.signal.records[to].current


def lose(person: Person, to: str, count: int) -> None:
    """Uses up the keys of so many messages, as if they were sealed and lost on their way."""
    for _ in range(count):
        current_session(person, to).ratchet.send()


def with_ciphertext(
    person: Person, message: stanza_pb2.Message, body: bytes, type: stanza_pb2.CiphertextType.ValueType | None = None
) -> stanza_pb2.Message:
    """Returns a message like another one, under a new id, with another ciphertext, and of another type if given."""
    other = stanza_pb2.Message(id=person.client.state.take_message_id(), to_jid=message.to_jid, type=message.type)
    other.enc.add(type=message.enc[0].type if type is None else type, ciphertext=body)
    return other


async def seal_altered(person: Person, to: str, text: str, alter: Callable[[bytes], bytes]) -> stanza_pb2.Message:
    """Seals a text in a session that both ends use, and changes what its MAC covers: the MAC is right all the same.

    Args:
        person: Who seals it.
        to: JID of the recipient.
        text: What to say.
        alter: Changes the version byte with the protobuf after it.
    """
    session = current_session(person, to)
    assert session.ratchet.sending_chain is not None
    keys = MessageKeys.expand(session.ratchet.sending_chain.message_secret())
    message = await person.seal(to, text)
    covered = alter(message.enc[0].ciphertext[:-MAC_BYTES])
    authentication = Authentication(keys.mac_key, session.local_identity, session.remote_identity)
    message.enc[0].ciphertext = covered + authentication.mac(covered)
    return message


async def ask_again(person: Person, of: str, message_id: str, count: int = 1) -> None:
    """Asks the sender of a message for it once more, whether or not it could be opened.

    Args:
        person: Who asks.
        of: JID of the sender.
        message_id: The message.
        count: How often it was asked for, this time included; only 1 needs no keys.
    """
    receipt = stanza_pb2.RetryReceipt(
        to_jid=of,
        message_id=message_id,
        retry_count=count,
        reason=stanza_pb2.RETRY_REASON_NO_SESSION,
        registration_id=person.client.state.signal.registration_id,
    )
    await person.client.transport.send(stanza_pb2.Stanza(retry_receipt=receipt))


async def copy_of(person: Person, message_id: str, number: int) -> stanza_pb2.Message:
    """Waits until a message has come so often, and returns that copy, as the wire has it.

    Raises:
        NotSo: It has not come in time.
    """
    for count in itertools.count(1):
        copies = [each for each in await person.gets_messages(count) if each.id == message_id]
        if len(copies) >= number:
            return copies[number - 1]
    raise AssertionError


def with_wrong_mac(person: Person, message: stanza_pb2.Message) -> stanza_pb2.Message:
    """Returns a message like another one, under a new id, of which the last bit of the MAC is turned over."""
    body = message.enc[0].ciphertext
    return with_ciphertext(person, message, body[:-1] + bytes((body[-1] ^ 1,)))


async def send_broken(person: Person, to: str) -> str:
    """Sends a message that is cut off, and that this person never sends again; returns its id."""
    message = await person.seal(to, "broken")
    broken = with_ciphertext(person, message, message.enc[0].ciphertext[:40])
    await person.send_sealed(broken)
    message_id: str = broken.id
    return message_id
