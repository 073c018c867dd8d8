"""What the attacks of a dishonest server have in common: how they are played, and what came of it; knows no attack."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import stanza_pb2
from interop_client.signal.errors import SignalError
from interop_client.signal.store import SignalState
from interop_conformance.check import Judge, Level, NotSo, Score, check
from interop_conformance.device import Device
from interop_conformance.people import CIPHERTEXT_TYPES, Person
from interop_conformance.stage import Stage
from interop_protocol.xeddsa_keys import signed_prekey_message

WARNINGS = ("identity_change_shown", "undecryptable_shown", "error_shown")
"""Events that tell a user that something is not as it should be."""

Replacement = dict[str, Any]
"""One `FaultReplacement`."""

_numbers = itertools.count(1)
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
_COFACTOR = 8
_TYPES = {number: kind for kind, number in CIPHERTEXT_TYPES.items()}


def attack(id: str, level: Level, sentence: str, **facts: Any) -> Callable[[Judge], Judge]:
    """Registers the decorated function as the judge of an attack, which is scored. See `check`."""
    return check(id, level, sentence, is_attack=True, **facts)


def warnings(bob: Device, sent: str = "") -> int:
    """Returns how often a user was warned so far. That a message of their own cannot be sent again warns of nobody.

    Args:
        bob: The device.
        sent: Id of a message of theirs that is asked for again.
    """
    shown = [each for kind in WARNINGS for each in bob.shown(kind)]
    return sum(not sent or each.message_id != sent for each in shown)


def score(bob: Device, before: int = 0) -> Score:
    """Returns what became of an attack that did no harm.

    Args:
        bob: The device that was attacked.
        before: How often its user had been warned before it.
    """
    return Score.NOTICED if warnings(bob) > before else Score.SURVIVED


async def attempt(bob: Device, **command: Any) -> pb.CommandResult:
    """Sends a command that need not succeed. One without an answer in time has failed: the client tries on."""
    try:
        return await bob.ask(**command)
    except NotSo as failure:
        return pb.CommandResult(failed=pb.FailedResult(kind=pb.FAILURE_KIND_TIMED_OUT, detail=failure.got))


def has_failed(result: pb.CommandResult) -> bool:
    """Says whether a command was refused, or failed."""
    return result.WhichOneof("outcome") in ("refused", "failed")


async def settle(stage: Stage, alice: Person, bob: Device) -> None:
    """Has Alice write, and waits until it is shown: what Bob's client was sent and did before is on record then."""
    text = f"and another thing: {next(_numbers)}"
    sent = await alice.send(bob.jid, text)
    await bob.shows_text(text)
    await stage.sends(alice.jid, "message", lambda each: each.get("id") == sent.id)
    await alice.does("ping", alice.client.ping())


async def grows_to(stage: Stage, count: Callable[[], int], most: int) -> int:
    """Returns what a count comes to once it grows no more for a while, or is over a bound."""
    seen = -1
    while seen < (now := count()) <= most:
        seen = now
        await stage.never(partial(_is_over, count, seen))
    return now


def _is_over(count: Callable[[], int], seen: int) -> bool:
    return count() > seen


async def must_warn(stage: Stage, alice: Person, bob: Device, before: int, sent: str = "") -> Score:
    """Has Alice write with her own keys, when Bob's client has met others in her name: never without a warning.

    Args:
        stage: The stage.
        alice: Who is somebody else for Bob's client.
        bob: The device.
        before: How often its user had been warned before the attack.
        sent: Id of what Bob has sent to whom he took for Alice: she asks for it again, and the answer can fail.
    """

    def is_warned() -> bool:
        return warnings(bob, sent) > before

    await alice.send(bob.jid, "It is me")
    await bob.sees(lambda: is_warned() or "It is me" in bob.texts(), "a warning, or the text")
    if not is_warned():
        await settle(stage, alice, bob)  # a warning may come after the text
    stage.expect(is_warned(), "a warning that the identity key is another one", "the text, and no warning")
    return Score.NOTICED


async def to_bob(stage: Stage, bob: Device, name: str, stanza: str = "message", times: int = 1, **action: Any) -> str:
    """Has the server do wrong with a kind of stanza on its way to Bob; returns the fault's name."""
    match = {"stanza": stanza, "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": bob.jid}
    return await stage.add_fault(name, match, times, **action)


class Mallory:
    """Whoever runs a dishonest server: has keys of their own, and tries to read with them what is meant for others."""

    def __init__(self) -> None:
        self._signal = SignalState.generate()

    @property
    def identity(self) -> bytes:
        """Their identity key."""
        return self._signal.identity.public_key

    def bundle(self) -> list[Replacement]:
        """Returns what makes anybody's bundle one of theirs, which is in order by itself."""
        keys = self._signal.publishable
        return [
            replacement("IDENTITY_KEY", keys.identity_key),
            replacement("SIGNED_PREKEY", keys.signed_prekey.public_key),
            replacement("SIGNED_PREKEY_SIGNATURE", keys.signed_prekey.signature),
            replacement("ONE_TIME_PREKEY"),
        ]

    def retry_keys(self) -> stanza_pb2.RetryKeys:
        """Returns keys of theirs for a retry receipt."""
        keys = self._signal.publishable
        [one_time] = self._signal.generate_one_time_prekeys(1)
        return stanza_pb2.RetryKeys(
            identity_key=keys.identity_key,
            signed_prekey_id=keys.signed_prekey.key_id,
            signed_prekey=keys.signed_prekey.public_key,
            signed_prekey_signature=keys.signed_prekey.signature,
            one_time_prekey_id=one_time.key_id,
            one_time_prekey=one_time.public_key,
        )

    def can_read(self, messages: Sequence[stanza_pb2.Message]) -> bool:
        """Says whether one of these messages was encrypted to them."""
        return any(self._opens(message) for message in messages)

    def _opens(self, message: stanza_pb2.Message) -> bool:
        try:
            self._signal.decrypt("somebody", _TYPES[message.enc[0].type], message.enc[0].ciphertext)
        except SignalError:
            return False
        return True


def replacement(part: str, value: bytes | None = None) -> Replacement:
    """Returns what a part of a bundle is replaced by; see `FaultReplacement`."""
    number = f"FAULT_KEY_PART_{part}"
    return {"part": number} if value is None else {"part": number, "value": value}


def forged_signature(identity_key: bytes, signed_prekey: bytes) -> bytes:
    """Returns a signature by an identity key of low order, which anybody can make: R = rB, s = r, and the rest is zero.

    Args:
        identity_key: 32 bytes, of low order.
        signed_prekey: 32 bytes.
    """
    prime = 2**255 - 19
    u = int.from_bytes(identity_key, "little") % prime
    edwards_key = ((u - 1) * pow(u + 1, -1, prime) % prime).to_bytes(32, "little")
    message = signed_prekey_message(signed_prekey)
    for number in range(10_000):
        seed = number.to_bytes(32, "little")
        point = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        challenge = int.from_bytes(hashlib.sha512(point + edwards_key + message).digest(), "little") % _GROUP_ORDER
        if challenge % _COFACTOR == 0:
            return point + _scalar(seed).to_bytes(32, "little")
    raise AssertionError("one in eight tries succeeds")


def _scalar(seed: bytes) -> int:
    clamped = bytearray(hashlib.sha512(seed).digest()[:32])
    clamped[0] &= 0xF8
    clamped[31] = clamped[31] & 0x7F | 0x40
    return int.from_bytes(clamped, "little") % _GROUP_ORDER


async def give_other_keys(
    stage: Stage, bob: Device, alice: Person, replacements: Sequence[Replacement], name: str = "keys"
) -> list[str]:
    """Has the server give Bob other bundles of Alice's; returns the names of the faults."""
    return [
        await stage.add_fault(
            f"{name}-{call}",
            {"call": f"PreKeyService.{call}", "actor": bob.jid, "peer": alice.jid},
            replace_keys={"replacements": list(replacements)},
        )
        for call in ("TakePreKeyBundles", "TakeMissingPreKeyBundles")
    ]
