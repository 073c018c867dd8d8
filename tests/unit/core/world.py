"""The rules put together on real parts, and the people that the scenarios are about; knows no wire format.

Only what lies outside of the process is played: connections and pushes are recorded, key sets are served from memory.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_protocol.encoding import encode_base64url
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message
from interop_server.blobs.local import LocalBlobStore
from interop_server.core.consent.optin import TERMS_ID
from interop_server.core.enlistment.enlistment import EnlistmentForm
from interop_server.core.enlistment.location import Anywhere
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import open_journal
from interop_server.core.limits import Limits
from interop_server.core.messages import (
    CiphertextType,
    DeviceCiphertext,
    Indicator,
    MailboxItem,
    MessageType,
    OutgoingMessage,
    Stored,
)
from interop_server.core.model import (
    Account,
    ConnectionFacts,
    ConnectionMode,
    IdentifierType,
    KemPreKey,
    Login,
    OneTimePreKey,
    Partner,
    PartnerStatus,
    Platform,
    PreKeyCounts,
    PreKeyKind,
    PublishedKeys,
    SignedPreKey,
)
from interop_server.core.rules import Ports, Rules, build_rules
from interop_server.core.store import Store
from interop_server.http.partner_media import HttpPartnerMediaSource
from interop_server.runtime.jwt import JoserfcTokens
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock
from tests.refusals import ABOUT_A_FIELD, check_said

NAMES_A_FIELD = ABOUT_A_FIELD | {
    Reason.ADDRESS_MALFORMED, Reason.ADDRESS_NAMES_DEVICE, Reason.CALLS_NOT_SUPPORTED, Reason.GROUPS_NOT_SUPPORTED,
    Reason.NUMBER_BASED_NOT_SUPPORTED, Reason.USER_VISIBLE_IDENTIFIER, Reason.CLIENT_ADDRESS_INVALID,
    Reason.IDENTITY_KEY_MISMATCH, Reason.LOGIN_MALFORMED,
}  # fmt: skip
"""Reasons for which the rules always name the field that is wrong."""
PLACES_THAT_NAME_A_FIELD = {
    Reason.ALREADY_REGISTERED: {"checked_all"},
    Reason.NOT_REGISTERED: {"Faults.named"},
    Reason.PREKEY_REUSED: {"PreKeys.add", "PreKeys.add_kem", "check_kem_prekeys", "check_one_time_prekeys"},
    Reason.QUOTA_EXCEEDED: {"PreKeys.add", "PreKeys.add_kem"},
}
"""For other reasons: the functions that refuse for what a field holds. All else that is refused is about no field."""
NOW_MS = 1_700_000_000_000
NOW = NOW_MS // 1_000
BATS, OWLS = 100, 200
SEED = 7


def partner(integrator: int = BATS, **changes: Any) -> Partner:
    registered = Partner(
        integrator=integrator,
        name=f"Partner {integrator}",
        issuer=f"https://{integrator}.example",
        base_url=f"https://keys.{integrator}.example",
        push_url="",
        media_url="",
        status=PartnerStatus.ACTIVE,
        identifier_type=IdentifierType.USERNAME,
    )
    return replace(registered, **changes)


@cache
def signing_key(name: str) -> rsa.RSAPrivateKey:
    """The same key for the same name, in this process."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def jwk(key_id: str, key: str, **changes: Any) -> dict[str, Any]:
    public = signing_key(key).public_key().public_numbers()
    modulus, exponent = (encode_base64url(n.to_bytes((n.bit_length() + 7) // 8, "big")) for n in (public.n, public.e))
    return {"kid": key_id, "kty": "RSA", "alg": "RS256", "use": "sig", "n": modulus, "e": exponent} | changes


def key_set(*entries: dict[str, Any]) -> str:
    return json.dumps({"keys": entries})


def token(
    subject: object = "ada",
    integrator: int = BATS,
    *,
    key: str | None = None,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token as the partner's server issues it, but for the changes; a member that is None is left out."""
    headers = {"alg": "RS256", "kid": f"k{integrator}"} | (header or {})
    good = {
        "iss": f"https://{integrator}.example",
        "sub": subject,
        "aud": "interopsim",
        "iat": NOW,
        "exp": NOW + 600,
    }
    parts = (
        {name: value for name, value in members.items() if value is not None} for members in (headers, good | claims)
    )
    signed = ".".join(encode_base64url(json.dumps(part).encode()) for part in parts)
    signature = signing_key(key or f"k{integrator}").sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{encode_base64url(signature)}"


def derived(*seeds: object) -> bytes:
    return hashlib.sha256(repr(seeds).encode()).digest()


def public_half(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


@cache
def kem_public_half(*seeds: object) -> bytes:
    seed = derived("kem", *seeds) + derived("z", *seeds)
    return MLKEM1024PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


@dataclass(frozen=True)
class ClientKeys:
    """What one client has: the same for the same seed."""

    seed: int = 1

    @property
    def auth_key(self) -> bytes:
        return public_half(derived("auth", self.seed))

    @property
    def identity_private_key(self) -> bytes:
        return derived("identity", self.seed)

    def signed_prekey(self, key_id: int = 1) -> SignedPreKey:
        public_key = public_half(derived("signed", self.seed, key_id))
        return SignedPreKey(key_id, public_key, self.signature(signed_prekey_message(public_key)))

    def signature(self, message: bytes) -> bytes:
        return sign_xeddsa(self.identity_private_key, message, bytes(64))

    @property
    def published(self) -> PublishedKeys:
        return PublishedKeys(0x80000000 + self.seed, public_half(self.identity_private_key), self.signed_prekey())

    def one_time(self, first: int, count: int) -> list[OneTimePreKey]:
        return [OneTimePreKey(key_id, derived("one", self.seed, key_id)) for key_id in range(first, first + count)]

    def kem(self, key_id: int) -> KemPreKey:
        public_key = kem_public_half(self.seed, key_id)
        return KemPreKey(key_id, public_key, self.signature(public_key))

    def form(self, with_token: str, **changes: Any) -> EnlistmentForm:
        keys = self.published
        form = EnlistmentForm(
            auth_key=self.auth_key,
            key_type=b"\x05",
            registration_id=keys.registration_id.to_bytes(4, "big"),
            identity_key=keys.identity_key,
            signed_prekey_id=keys.signed_prekey.key_id.to_bytes(3, "big"),
            signed_prekey=keys.signed_prekey.public_key,
            signed_prekey_signature=keys.signed_prekey.signature,
            token=with_token,
            protocol_version=1,
        )
        return replace(form, **changes)


class RecordedConnections:
    """The `Connections` port: says who is connected as it was told, and keeps what was asked of it."""

    def __init__(self) -> None:
        self.online: set[int] = set()
        self.woken: list[int] = []
        self.shown: list[tuple[int, str, Indicator, int]] = []
        self.ended: list[tuple[int, Reason]] = []
        self.ended_partners: list[tuple[int, Reason, ConnectionMode | None]] = []
        self.observed: list[tuple[int, int | None]] = []
        self.low: list[tuple[int, PreKeyCounts, frozenset[PreKeyKind]]] = []
        self.refilled: list[tuple[int, frozenset[PreKeyKind]]] = []
        self.known: dict[int, ConnectionFacts] = {}

    def facts_of(self, account_id: int) -> ConnectionFacts | None:
        return self.known.get(account_id)

    def facts(self) -> list[ConnectionFacts]:
        return list(self.known.values())

    def wake(self, account_id: int) -> bool:
        self.woken.append(account_id)
        return account_id in self.online

    def hand_over(self, account_id: int, arrived: Sequence[Stored]) -> bool:
        return self.wake(account_id)

    def connected(self) -> set[int]:
        return self.online

    def end(self, account_id: int, reason: Reason) -> None:
        self.ended.append((account_id, reason))

    def end_partner(self, integrator: int, reason: Reason, mode: ConnectionMode | None = None) -> None:
        self.ended_partners.append((integrator, reason, mode))

    def observe_client(self, account_id: int, closed_at_ms: int | None) -> None:
        self.observed.append((account_id, closed_at_ms))

    def show(self, account_id: int, sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> bool:
        if account_id in self.online:
            self.shown.append((account_id, sender_jid, indicator, expires_after_seconds))
        return account_id in self.online

    def notify_prekeys_low(self, account_id: int, counts: PreKeyCounts, few: frozenset[PreKeyKind]) -> None:
        self.low.append((account_id, counts, few))

    def prekeys_refilled(self, account_id: int, kinds: frozenset[PreKeyKind]) -> None:
        self.refilled.append((account_id, kinds))


class RecordedPushes:
    """The `PushGateway` port: keeps what it was asked to push."""

    def __init__(self) -> None:
        self.queued: list[tuple[int, str]] = []

    def notify(self, integrator: int, external_id: str) -> None:
        self.queued.append((integrator, external_id))


@dataclass
class KeyServers:
    """The `JwksSource` port: serves each partner's key set while that partner is up."""

    served: dict[int, str] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    fetches: list[int] = field(default_factory=list)

    async def fetch(self, partner: Partner) -> str:
        self.fetches.append(partner.integrator)
        if partner.integrator in self.down:
            raise Refusal(Reason.JWKS_UNAVAILABLE, "the server could not be reached")
        return self.served[partner.integrator]


class World:
    """One server's rules, with two partners registered: BATS and OWLS, whose key sets hold `k100` and `k200`."""

    def __init__(self, store: Store, folder: Path, limits: Limits) -> None:
        self.store, self.folder, self.limits = store, folder, limits
        self.clock = ManualClock(NOW_MS)
        self.connections, self.pushes, self.key_servers = RecordedConnections(), RecordedPushes(), KeyServers()
        self.blobs, self.reader, rng = LocalBlobStore(folder, self.clock), JoserfcTokens(), SeededRng(SEED)
        self.ports = Ports(
            store=store,
            blobs=self.blobs,
            connections=self.connections,
            push=self.pushes,
            key_set_source=self.key_servers,
            token_reader=self.reader,
            partner_media=HttpPartnerMediaSource(limits),
            location=Anywhere(),
            clock=self.clock,
            rng=lambda _purpose: rng,
            limits=limits,
            journal=open_journal(self.clock, lambda _purpose: rng),
        )
        self.rules = build_rules(self.ports)
        for each in fields(self.rules):
            setattr(self, each.name, getattr(self.rules, each.name))

    def with_limits(self, **changes: Any) -> Rules:
        """The same rules under other limits, on the same store and with the same people."""
        return build_rules(replace(self.ports, limits=replace(self.limits, **changes)))

    async def register(self, *partners: Partner) -> None:
        """Registers partners as they are; their key sets are fetched when first needed."""
        for each in partners:
            self.key_servers.served[each.integrator] = key_set(jwk(f"k{each.integrator}", f"k{each.integrator}"))
            await self.store.partners.put(each)

    async def whatsapp_user(
        self, phone_number: str = "+491511234567", platform: Platform = Platform.ANDROID
    ) -> Account:
        auth_key = derived("whatsapp", phone_number)
        return (await self.operator.put_whatsapp_user(phone_number, auth_key, platform))[0]

    async def opted_in(self, phone_number: str = "+491511234567", *integrators: int) -> Account:
        """A WhatsApp user who has turned on third-party chats with these partners; with BATS if none is named."""
        account = await self.whatsapp_user(phone_number)
        await self.accept_terms(account)
        await self.optin.opt_in(account, integrators or [BATS])
        return account

    async def accept_terms(self, account: Account) -> None:
        for accepted in (False, True):
            await self.optin.record_terms(account, TERMS_ID, accepted=accepted)

    async def enlisted(self, name: str = "ada", integrator: int = BATS, keys: ClientKeys | None = None) -> Account:
        form = (keys or ClientKeys()).form(token(name, integrator, iat=self.now, exp=self.now + 600))
        return await self.account(await self.enlistment.enlist(form))

    async def account(self, jid: str) -> Account:
        account = await self.store.accounts.get(jid)
        assert account is not None
        return account

    @property
    def now(self) -> int:
        """Seconds since the UNIX epoch."""
        return self.clock.now_ms() // 1_000

    async def waiting(self, account: Account) -> list[MailboxItem]:
        return [delivery.item for delivery in await self.mailbox.deliveries(account, 0, 10_000)]

    async def sweep(self) -> dict[str, int]:
        """Takes away what has fallen due; says how many of what."""
        now_ms = self.clock.now_ms()
        taken = {sweep.name: (await sweep.take_away(now_ms)).taken for sweep in self.rules.sweeps()}
        return {name: count for name, count in taken.items() if count}

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Checks that nobody is woken, pushed to or disconnected."""
        before = (len(self.connections.woken), len(self.connections.ended), len(self.pushes.queued))
        yield
        assert (len(self.connections.woken), len(self.connections.ended), len(self.pushes.queued)) == before

    def token(self, account: Account) -> str:
        """A token that the account's partner issues now."""
        return token(account.external_id, account.integrator, iat=self.now, exp=self.now + 600)

    def login(self, account: Account, keys: ClientKeys | None = None, **changes: Any) -> Login:
        """A login as the account's own client sends it, but for the changes."""
        login = Login(
            static_key=(keys or ClientKeys()).auth_key if account.integrator else account.auth_key,
            phone_number="" if account.integrator else account.external_id,
            account_number=int(account.jid.partition("@")[0].partition("-")[2] or 0),
            token=self.token(account) if account.integrator else "",
            protocol_version=1,
            mode=ConnectionMode.DIRECT,
            client_ip="",
            read_receipts=True,
            is_interop=bool(account.integrator),
        )
        return replace(login, **changes)


@contextmanager
def refused(reason: Reason, requirement: str = "") -> Iterator[pytest.ExceptionInfo[Refusal]]:
    """Checks that the block is refused for that reason, by a rule, this one if given; and the field."""
    with pytest.raises(Refusal) as caught:
        yield caught
    assert caught.value.reason is reason
    assert requirement in ("", caught.value.requirement)
    check_said(caught.value)
    *_, (frame, _) = walk_tb(caught.tb)
    place = frame.f_code.co_qualname
    names_a_field = reason in NAMES_A_FIELD or place in PLACES_THAT_NAME_A_FIELD.get(reason, ())
    assert bool(caught.value.violations) is names_a_field, f"{place} refuses {reason.name}: {caught.value.violations}"


def message(
    to: Account | str,
    stanza_id: str = "m1",
    ciphertext: bytes = b"\x00\xffciphertext",
    enc: Sequence[tuple[Any, ...]] | None = None,
) -> OutgoingMessage:
    jid = to if isinstance(to, str) else to.jid
    parts = enc if enc is not None else ((CiphertextType.DOUBLE_RATCHET, 0, ciphertext),)
    return OutgoingMessage(stanza_id, jid, MessageType.TEXT, tuple(DeviceCiphertext(*part) for part in parts))
