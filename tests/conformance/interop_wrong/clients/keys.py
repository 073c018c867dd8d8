"""Defects of prekeys and identity keys."""

import asyncio
from dataclasses import replace
from typing import Any

from interop_client.client import InteropClient
from interop_client.errors import Recovery, ServerRefusal
from interop_client.keys.prekeys import OwnPreKeys
from interop_client.messaging.events import PreKeysLow
from interop_client.messaging.inbox import Inbox
from interop_client.messaging.outgoing import SentMessage
from interop_client.signal.errors import InvalidKeyId, InvalidSignature
from interop_client.signal.keys import KeyPair
from interop_client.signal.messages import PreKeySignalMessage
from interop_client.signal.session import Session
from interop_client.signal.store import Ciphertext, CiphertextType, PublicKeys, SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_driver.device import Device
from interop_driver.screen import Screen
from interop_wrong.register import wrong_client

IMPATIENT_SECONDS = 0.05


@wrong_client("KEY-01.bundle-verifies")
def begins_chats_under_another_identity() -> None:
    """Has another identity key than the published one for the sessions that it begins itself."""
    process, encrypt = SignalState.process_bundle, SignalState.encrypt
    others: dict[bytes, KeyPair] = {}  # by the published one

    def process_as_another(self: SignalState, remote: str, bundle: PreKeyBundle) -> None:
        published = self.identity
        self.identity = others.setdefault(published.public_key, KeyPair.generate(self.entropy))
        try:
            process(self, remote, bundle)
        finally:
            self.identity = published

    def encrypt_as_begun(self: SignalState, remote: str, plaintext: bytes) -> Ciphertext:
        published, other = self.identity, others.get(self.identity.public_key)
        if other is not None and self._known(remote).current.local_identity == other.public_key:
            self.identity = other
        try:
            return encrypt(self, remote, plaintext)
        finally:
            self.identity = published

    SignalState.process_bundle, SignalState.encrypt = process_as_another, encrypt_as_begun  # type: ignore[method-assign]


@wrong_client("KEY-12.one-registration-id")
def publishes_another_registration_id() -> None:
    """Publishes another registration id than its messages have."""
    publishable = vars(SignalState)["publishable"].fget

    def with_another(self: SignalState) -> PublicKeys:
        keys: PublicKeys = publishable(self)
        return replace(keys, registration_id=keys.registration_id ^ 1 or 2)

    SignalState.publishable = property(with_another)  # type: ignore[method-assign,assignment]


@wrong_client("KEY-05.used-prekey-is-gone", "KEY-05.dishonest-prekey-given-twice")
def keeps_used_prekeys() -> None:
    """Keeps the private key of a one-time prekey after its use."""
    decrypt = SignalState.decrypt

    def decrypt_and_keep(self: SignalState, remote: str, type: CiphertextType, body: bytes) -> bytes:
        before = dict(self.one_time_prekeys)
        try:
            return decrypt(self, remote, type, body)
        finally:
            self.one_time_prekeys |= before

    SignalState.decrypt = decrypt_and_keep  # type: ignore[method-assign]


@wrong_client("KEY-06.opens-without-one-time-prekey")
def opens_only_with_one_time_prekeys() -> None:
    """Refuses a first message that uses no one-time prekey."""
    respond = SignalState._respond

    def respond_to_some(self: SignalState, message: PreKeySignalMessage) -> Session:
        if message.one_time_prekey_id is None:
            raise InvalidKeyId("the message uses no one-time prekey")
        return respond(self, message)

    SignalState._respond = respond_to_some  # type: ignore[method-assign]


@wrong_client("KEY-06.begins-without-one-time-prekey")
def begins_only_with_one_time_prekeys() -> None:
    """Takes a bundle without a one-time prekey for a broken one."""
    process = SignalState.process_bundle

    def process_some(self: SignalState, remote: str, bundle: PreKeyBundle) -> None:
        if bundle.one_time_prekey is None:
            raise InvalidSignature("the bundle lacks a one-time prekey")
        process(self, remote, bundle)

    SignalState.process_bundle = process_some  # type: ignore[method-assign]


@wrong_client("KEY-09.refills")
def never_refills() -> None:
    """Leaves it at the prekeys that it has published first."""

    async def do_nothing(self: OwnPreKeys, count: int) -> None:
        return

    OwnPreKeys.refill = do_nothing  # type: ignore[method-assign]


@wrong_client("KEY-09.refills-once", "KEY-09.dishonest-low-notices")
def publishes_at_each_notice() -> None:
    """Publishes prekeys for each notice that few are left, without looking how many there are."""
    keep_up = InteropClient._upkeep

    def keep_up_too_well(self: InteropClient) -> Any:
        upkeep = keep_up(self)
        del upkeep[PreKeysLow]
        return upkeep

    deliver = Device._deliver

    async def deliver_and_publish(self: Device, event: Any) -> None:
        await deliver(self, event)
        if isinstance(event, PreKeysLow) and self.client.state.signal.has_generated_one_time_prekeys:
            self._begin(self.client.add_prekeys())

    InteropClient._upkeep, Device._deliver = keep_up_too_well, deliver_and_publish  # type: ignore[method-assign]


@wrong_client("KEY-10.answers-digest-request")
def ignores_digest_requests() -> None:
    """Does nothing when the server asks it to compare its keys."""

    async def do_nothing(self: InteropClient) -> None:
        return

    InteropClient._answer_digest_request = do_nothing  # type: ignore[method-assign]


@wrong_client("KEY-11.opens-with-keys-before-the-last")
def forgets_keys_that_it_has_replaced() -> None:
    """Deletes the private keys of all that it has published before, as soon as it has published anew."""
    publish = OwnPreKeys.publish

    async def publish_and_forget(self: OwnPreKeys, count: int) -> None:
        old = tuple(self._signal.one_time_prekeys)
        await publish(self, count)
        self._signal.delete_one_time_prekeys(old)

    OwnPreKeys.publish = publish_and_forget  # type: ignore[method-assign]


@wrong_client("KEY-13.renews-a-refused-signed-prekey")
def insists_on_its_signed_prekey() -> None:
    """Publishes the same signed prekey again after the server has refused it."""

    async def publish_the_same(self: OwnPreKeys, count: int) -> None:
        await self._set(count)

    OwnPreKeys._publish = publish_the_same  # type: ignore[method-assign]


@wrong_client("KEY-03.keeps-keys-of-a-lost-answer")
def forgets_keys_of_a_failed_publication() -> None:
    """Deletes the private keys of a publication that has failed in whatever way."""
    put = OwnPreKeys._set

    async def put_or_forget(self: OwnPreKeys, count: int) -> None:
        old = set(self._signal.one_time_prekeys)
        try:
            await put(self, count)
        except ServerRefusal:
            self._signal.delete_one_time_prekeys(set(self._signal.one_time_prekeys) - old)
            raise

    OwnPreKeys._set = put_or_forget  # type: ignore[method-assign]


@wrong_client("KEY-14.a-bundle-for-a-session")
def takes_a_bundle_for_each_message() -> None:
    """Looks up the keys of its recipient before each message."""
    send = InteropClient.send_text

    async def look_up_and_send(self: InteropClient, to: str, text: str, reply_to: Any = None) -> SentMessage:
        if self._signal.has_session(to):
            await self.take_prekey_bundle(to)
        return await send(self, to, text, reply_to)

    InteropClient.send_text = look_up_and_send  # type: ignore[method-assign]


@wrong_client("KEY-14.waits-as-told")
def hammers_for_bundles() -> None:
    """Asks again at once, some times, when it gets no bundle until later."""
    take = InteropClient.take_prekey_bundle

    async def insist(self: InteropClient, jid: str) -> PreKeyBundle:
        for _ in range(5):
            try:
                return await take(self, jid)
            except ServerRefusal as refusal:
                if refusal.recovery is not Recovery.SAME_AGAIN:
                    raise
                await asyncio.sleep(IMPATIENT_SECONDS)
        return await take(self, jid)

    InteropClient.take_prekey_bundle = insist  # type: ignore[method-assign]


@wrong_client(
    "KEY-17.changed-identity-is-shown",
    "KEY-17.talks-with-a-changed-identity",
    "KEY-17.waiting-message-comes",
    also=(
        "KEY-01.dishonest-bundle-of-somebody-else",
        "KEY-17.dishonest-second-change",
        "MSG-01.dishonest-first-message-of-a-stranger",
    ),
)
def hides_changed_identities() -> None:
    """Goes on with a peer's new identity key without a word to its user."""
    show = Screen.show

    async def show_others(self: Screen, **kind: Any) -> None:
        if "identity_change_shown" not in kind:
            await show(self, **kind)

    Screen.show = show_others  # type: ignore[method-assign]


@wrong_client("KEY-17.waiting-message-comes")
def loses_messages_that_wait() -> None:
    """Does not open the messages that have waited for the user's decision about an identity key."""

    def release_nothing(self: Inbox, jid: str) -> tuple[Any, ...]:
        return ()

    Inbox.release = release_nothing  # type: ignore[method-assign]


@wrong_client("KEY-17.talks-with-a-changed-identity", "KEY-17.waiting-message-comes")
def never_accepts_another_identity() -> None:
    """Shows that a peer's identity key has changed, and stays with the old one whatever its user says."""

    def do_nothing(self: SignalState, remote: str, identity_key: bytes | None = None) -> None:
        return

    SignalState.accept_identity = do_nothing  # type: ignore[method-assign]
