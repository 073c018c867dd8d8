"""Post-quantum prekeys of one device, and the parties that have some; knows no session, network, clock or file.

A device makes, signs and publishes them and looks for them in bundles, but no session uses them: sessions are classical
X3DH. How a session with a KEM prekey is set up on WhatsApp's wire is not public. The gain is that a device notices when
an attacker withholds a peer's KEM prekeys after it has seen some (KEY-16, T14).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from interop_client.signal.keys import Entropy, KeyPair, next_prekey_id
from interop_protocol.sizes import MAX_KEM_PREKEYS, MIN_PREKEY_ID
from interop_protocol.xeddsa_keys import NONCE_BYTES, sign_xeddsa

SEED_BYTES = 64
"""The private key of ML-KEM-1024 in its stored form: d and z of FIPS 203."""


@dataclass(frozen=True, slots=True)
class KemPreKeyPublic:
    """A KEM prekey as published, without its seed."""

    key_id: int
    """1 to 16,777,215."""
    public_key: bytes
    """1,568 bytes."""
    signature: bytes
    """64 bytes, XEdDSA over the key by the identity key."""


@dataclass(slots=True)
class KemKeys:
    """A device's KEM prekeys, and the remote parties that have had some."""

    one_time: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Seeds of the newest one-time prekeys by id, oldest first. No message tells the device when one is used up."""
    last_resort: tuple[int, bytes] | None = field(default=None, repr=False)
    """Id and seed of the last-resort prekey; None before the first one."""
    next_id: int = MIN_PREKEY_ID
    """Id of the next prekey to make."""
    seen: set[str] = field(default_factory=set)
    """Remote parties that had a KEM prekey in a bundle."""

    def generate_one_time(self, count: int, identity: KeyPair, entropy: Entropy) -> list[KemPreKeyPublic]:
        """Makes one-time prekeys to upload.

        Raises:
            ValueError: The count is not 1 to 5,000.
        """
        if not 1 <= count <= MAX_KEM_PREKEYS:
            raise ValueError(f"{count} is not 1 to {MAX_KEM_PREKEYS} KEM prekeys")
        made = {self._take_id(): entropy(SEED_BYTES) for _ in range(count)}
        self.one_time |= made
        for key_id in list(self.one_time)[:-MAX_KEM_PREKEYS]:
            del self.one_time[key_id]
        return [_public(key_id, seed, identity, entropy) for key_id, seed in made.items()]

    def keep_one_time(self, published: Iterable[int]) -> None:
        """Forgets all one-time prekeys but these, which replace those before: no session uses the others."""
        self.one_time = {key_id: self.one_time[key_id] for key_id in published if key_id in self.one_time}

    def renew_last_resort(self, entropy: Entropy) -> None:
        """Makes another last-resort prekey."""
        self.last_resort = (self._take_id(), entropy(SEED_BYTES))

    def publishable_last_resort(self, identity: KeyPair, entropy: Entropy) -> KemPreKeyPublic:
        """Returns the last-resort prekey to upload; makes one when there is none."""
        if self.last_resort is None:
            self.renew_last_resort(entropy)
        assert self.last_resort is not None
        return _public(*self.last_resort, identity, entropy)

    def holds(self, last_resort: int | None, one_time: Iterable[int]) -> bool:
        """Says whether this device has the seeds of all these prekeys, and the last-resort one is its current one."""
        own = None if self.last_resort is None else self.last_resort[0]
        return last_resort == own and self.one_time.keys() >= set(one_time)

    def _take_id(self) -> int:
        key_id = self.next_id
        self.next_id = next_prekey_id(key_id)
        return key_id


def _public(key_id: int, seed: bytes, identity: KeyPair, entropy: Entropy) -> KemPreKeyPublic:
    # Imported here: it takes 60 ms, which a device without KEM prekeys need not spend.
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

    public_key = MLKEM1024PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
    return KemPreKeyPublic(key_id, public_key, sign_xeddsa(identity.private_key, public_key, entropy(NONCE_BYTES)))
