"""The contract of the `Store` port, which every engine in `tests/stores.py` must keep; knows no SQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop_server.core.consent.first_contact import chat_entry
from interop_server.core.mailbox_content import ChallengeCode, Receipt, encode
from interop_server.core.messages import MailboxItem, MessageType, ReceiptType, RequestAnswer, StanzaKind
from interop_server.core.model import (
    Account,
    IdentifierType,
    NewEnlistment,
    OneTimePreKey,
    Partner,
    PartnerStatus,
    Platform,
    PublishedKeys,
    SignedPreKey,
)
from interop_server.core.store import Store
from tests.stores import ENGINES, delete_store, open_store

NOW_MS = 1_700_000_000_000
BATS, OWLS = 100, 200


def read(item: MailboxItem) -> MailboxItem:
    """An item as it comes out of a mailbox: what it did to its chat is not kept with it."""
    return item._replace(chat=None)


def key(seed: int, length: int = 32) -> bytes:
    return seed.to_bytes(4, "big") * (length // 4)


def published_keys(seed: int) -> PublishedKeys:
    return PublishedKeys(seed, key(seed), SignedPreKey(seed % 1000 + 1, key(seed + 1), key(seed + 2, 64)))


def one_time_prekeys(first: int, count: int) -> list[OneTimePreKey]:
    return [OneTimePreKey(key_id, key(key_id)) for key_id in range(first, first + count)]


def partner(integrator: int, **changes: object) -> Partner:
    fields: dict[str, object] = {
        "name": f"Partner {integrator}",
        "issuer": f"https://{integrator}.example",
        "base_url": "https://keys.example",
        "push_url": "https://push.example",
        "media_url": "https://media.example",
        "status": PartnerStatus.ACTIVE,
        "identifier_type": IdentifierType.USERNAME,
        "icon": "icon",
        "proxy_allowed": True,
    }
    return Partner(integrator=integrator, **(fields | changes))  # type: ignore[arg-type]


@dataclass
class World:
    """People to write stories about."""

    store: Store

    async def whatsapp_user(self, digits: str) -> Account:
        jid = f"{digits}@s.whatsapp.net"
        return await self.store.accounts.put_whatsapp_user(jid, digits, key(1), Platform.ANDROID, NOW_MS)

    async def third_party_user(self, number: int, integrator: int = BATS, seed: int = 7) -> Account:
        enlistment = self.enlistment(number, integrator, seed)
        return (await self.store.accounts.enlist(enlistment)).account

    def enlistment(self, number: int, integrator: int = BATS, seed: int = 7, now_ms: int = NOW_MS) -> NewEnlistment:
        jid = f"{integrator}-{number}@interop"
        return NewEnlistment(integrator, f"user{number}", jid, key(seed + 3), published_keys(seed), 1, now_ms)

    def message(
        self,
        sender: Account,
        recipient: Account,
        stanza_id: str,
        at_ms: int = NOW_MS,
        content: bytes = b"\x00\xffsecret",
        *,
        answer: RequestAnswer | None = None,
        is_dropped: bool = False,
    ) -> MailboxItem:
        kind, subtype = StanzaKind.MESSAGE, 2
        ids = (recipient.account_id, sender.account_id, sender.jid)
        entry = chat_entry(sender, recipient.account_id, answer, is_dropped=is_dropped)
        message = MailboxItem(*ids, kind, subtype, MessageType.TEXT, stanza_id, at_ms, content)
        return message._replace(is_dropped=is_dropped, chat=entry)

    def receipt(self, sender: Account, recipient: Account, at_ms: int = NOW_MS) -> MailboxItem:
        receipt, ids = Receipt(ReceiptType.READ, ("a", "b")), (sender.account_id, sender.jid)
        return encode(receipt, recipient.account_id, at_ms, sender_id=ids[0], sender_jid=ids[1])

    def notification(self, recipient: Account, at_ms: int = NOW_MS) -> MailboxItem:
        return encode(ChallengeCode("id", "9"), recipient.account_id, at_ms)

    async def waiting(self, account: Account) -> list[MailboxItem]:
        return [
            delivery.item for delivery in await self.store.mailbox.list_deliveries(account.account_id, 0, 10_000, 0)
        ]


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine."""
    return str(request.param)


@pytest.fixture
async def reopen(engine: str, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Opens the same store each time, and closes the one before."""
    opened: list[Store] = []

    async def open_again() -> Store:
        for store in opened:
            await store.close()
        opened[:] = [await open_store(tmp_path, engine)]
        return opened[0]

    yield open_again
    for store in opened:
        await store.close()
    await delete_store(tmp_path, engine)


@pytest.fixture
async def store(reopen: Callable[[], Awaitable[Store]]) -> Store:
    store = await reopen()
    await store.partners.put(partner(BATS))
    await store.partners.put(partner(OWLS))
    return store


@pytest.fixture
def world(store: Store) -> World:
    return World(store)
