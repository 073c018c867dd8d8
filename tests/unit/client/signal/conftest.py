"""Two parties, and the server's part between them: handing out prekey bundles."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from interop_client.signal import PreKeyBundle, SignalState

ALICE = "-12-10000000000001@interop"
BOB = "491511234567@s.whatsapp.net"


class Pair(NamedTuple):
    """Two parties with a session that both have spoken in."""

    alice: SignalState
    bob: SignalState


def _take_bundle(state: SignalState, with_one_time_prekey: bool = True) -> PreKeyBundle:
    published = state.publishable
    signed_prekey = published.signed_prekey
    one_time_prekey = state.generate_one_time_prekeys(1)[0] if with_one_time_prekey else None
    return PreKeyBundle(
        registration_id=published.registration_id,
        device_id=0,
        identity_key=published.identity_key,
        signed_prekey_id=signed_prekey.key_id,
        signed_prekey=signed_prekey.public_key,
        signed_prekey_signature=signed_prekey.signature,
        one_time_prekey_id=one_time_prekey.key_id if one_time_prekey else None,
        one_time_prekey=one_time_prekey.public_key if one_time_prekey else None,
    )


@pytest.fixture(scope="session")
def take_bundle() -> Callable[..., PreKeyBundle]:
    return _take_bundle


@pytest.fixture
def pair() -> Pair:
    alice, bob = SignalState.generate(), SignalState.generate()
    alice.process_bundle(BOB, _take_bundle(bob))
    hello = alice.encrypt(BOB, b"hello")
    bob.decrypt(ALICE, hello.type, hello.body)
    answer = bob.encrypt(ALICE, b"hello yourself")
    alice.decrypt(BOB, answer.type, answer.body)
    return Pair(alice, bob)
