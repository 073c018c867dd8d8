"""Defects that a server's false certificates and keys find out."""

from typing import Any

from interop_api.v1 import stanza_pb2
from interop_client.connection import channel
from interop_client.messaging.outgoing import Outgoing
from interop_client.signal import keys, x3dh
from interop_client.signal.errors import InvalidKey
from interop_client.signal.keys import KeyPair
from interop_client.signal.messages import PreKeySignalMessage
from interop_client.signal.store import CiphertextType, SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_protocol import xeddsa_keys
from interop_protocol.certificates import CertificateError, verify_chain
from interop_protocol.curve_keys import canonical_key
from interop_wrong.register import wrong_client


def _overlook(reason: str) -> None:
    def verify(*facts: Any) -> None:
        try:
            verify_chain(*facts)
        except CertificateError as error:
            if error.reason != reason:
                raise

    vars(channel).update(verify_chain=verify)


@wrong_client("CHN-04.dishonest-root")
def accepts_any_root() -> None:
    """Does not look who has signed the intermediate certificate."""
    _overlook("WRONG_ROOT")


@wrong_client("CHN-04.dishonest-leaf", "CHN-04.dishonest-replayed-chain")
def ignores_leaf_key() -> None:
    """Does not compare the key in the leaf with the one that the handshake has proved."""
    _overlook("WRONG_LEAF_KEY")


@wrong_client("CHN-04.dishonest-expired-chain")
def ignores_expiry() -> None:
    """Does not look until when certificates are valid."""
    _overlook("EXPIRED")


@wrong_client(
    "KEY-01.dishonest-signature", "KEY-01.dishonest-signed-prekey", "KEY-01.dishonest-identity-beside-honest-keys"
)
def accepts_any_signature() -> None:
    """Does not verify the signature of a signed prekey."""
    vars(x3dh).update(verify_signed_prekey=lambda *_: True)


@wrong_client("KEY-01.dishonest-signature")
def accepts_a_missing_signature() -> None:
    """Takes a signature of zeros for none, and that for right."""
    verify = xeddsa_keys.verify_signed_prekey

    def lenient(identity_key: bytes, signed_prekey: bytes, signature: bytes) -> bool:
        return not any(signature) or verify(identity_key, signed_prekey, signature)

    vars(x3dh).update(verify_signed_prekey=lenient)


@wrong_client("KEY-01.dishonest-weak-keys")
def accepts_low_order_keys() -> None:
    """Uses keys of low order, with which every secret is zero."""
    agree = KeyPair.agree

    def agree_on_anything(self: KeyPair, public_key: bytes) -> bytes:
        try:
            return agree(self, public_key)
        except (InvalidKey, ValueError):
            return bytes(32)

    def check(public_key: bytes) -> bytes:
        if len(public_key) != 32:
            raise InvalidKey("has a wrong length")
        return canonical_key(public_key)

    KeyPair.agree = agree_on_anything  # type: ignore[method-assign]
    for module in (keys, xeddsa_keys):
        vars(module).update(check_public_key=check)


@wrong_client("KEY-06.dishonest-scarcity", also=("KEY-06.begins-without-one-time-prekey",))
def insists_on_a_one_time_prekey() -> None:
    """Begins no chat with a bundle that has no one-time prekey."""
    verify = PreKeyBundle.verify

    def insist(self: PreKeyBundle) -> None:
        verify(self)
        if self.one_time_prekey is None:
            raise InvalidKey("there is no one-time prekey")

    PreKeyBundle.verify = insist  # type: ignore[method-assign]


def _forget_other_identity(state: SignalState, remote: str, presented: bytes) -> None:
    if state.trusted_identity(remote) not in (None, presented):
        state.accept_identity(remote, presented)


@wrong_client(
    "KEY-17.dishonest-identity-of-a-known-peer",
    "RCP-03.dishonest-bundle-after-a-retry",
    also=(
        "RCP-03.dishonest-keys-in-a-retry",
        "KEY-01.dishonest-bundle-of-somebody-else",
        "KEY-17.dishonest-second-change",
    ),
)
def trusts_identities_in_bundles() -> None:
    """Takes whatever identity key a bundle has for the peer's, and says nothing."""
    process = SignalState.process_bundle

    def trust(self: SignalState, remote: str, bundle: PreKeyBundle) -> None:
        bundle.verify()
        _forget_other_identity(self, remote, bundle.identity_key)
        process(self, remote, bundle)

    SignalState.process_bundle = trust  # type: ignore[method-assign]


@wrong_client(
    "RCP-03.dishonest-keys-in-a-retry",
    also=("KEY-01.dishonest-bundle-of-somebody-else", "KEY-17.dishonest-second-change"),
)
def trusts_identities_in_retries() -> None:
    """Takes the identity key in a retry receipt for the peer's, and says nothing."""
    renew = Outgoing._renew_session

    async def trust(self: Outgoing, peer: str, receipt: stanza_pb2.RetryReceipt) -> None:
        if receipt.HasField("keys"):
            _forget_other_identity(self._signal, peer, receipt.keys.identity_key)
        await renew(self, peer, receipt)

    Outgoing._renew_session = trust  # type: ignore[method-assign]


@wrong_client(
    "MSG-01.dishonest-first-message-of-a-known-sender",
    "MSG-01.dishonest-first-message-of-a-stranger",
    "KEY-17.dishonest-second-change",
    "KEY-17.waiting-message-comes",
    also=("KEY-01.dishonest-bundle-of-somebody-else",),
)
def trusts_identities_in_messages() -> None:
    """Takes whatever identity key a first message has for the sender's, and says nothing."""
    decrypt = SignalState.decrypt

    def trust(self: SignalState, remote: str, type: CiphertextType, body: bytes) -> bytes:
        if type is CiphertextType.PREKEY:
            _forget_other_identity(self, remote, PreKeySignalMessage.decode(body).identity_key)
        return decrypt(self, remote, type, body)

    SignalState.decrypt = trust  # type: ignore[method-assign]
