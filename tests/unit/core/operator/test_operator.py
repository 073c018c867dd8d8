"""What the operator may register, and what a change of number does."""

from dataclasses import replace
from typing import Any

import pytest

from interop_server.core.errors import Reason
from interop_server.core.mailbox_content import DigestRequested, decode
from interop_server.core.model import ConnectionFacts, ConnectionMode, PartnerStatus, Platform
from tests.unit.core.world import BATS, NOW_MS, OWLS, World, derived, jwk, key_set, message, partner, refused, token

KEY = derived("key")
CAT = 300
TAKEN = Reason.ALREADY_REGISTERED


async def test_a_partner_is_registered_with_its_keys(world: World) -> None:
    """The answer says how many usable keys were found; then its tokens count (ENL-01, ENL-02)."""
    world.key_servers.served[CAT] = key_set(jwk("k300", "k300"), jwk("b", "k300", use="enc"), jwk("c", "k200"))
    assert await world.operator.put_partner(partner(CAT)) == 2
    assert (await world.tokens.verify(token(integrator=CAT))).partner == partner(CAT)
    assert await world.operator.list_partners() == [partner(BATS), partner(OWLS), partner(CAT)]


async def test_a_partner_whose_server_is_down_is_registered_all_the_same(world: World) -> None:
    """Without keys for now; a refresh fetches them later (ENL-01, ENL-03)."""
    world.key_servers.served[CAT] = key_set(jwk("k300", "k300"))
    world.key_servers.down.add(CAT)
    assert await world.operator.put_partner(partner(CAT)) == 0
    with refused(Reason.JWKS_UNAVAILABLE):
        await world.operator.refresh_jwks(CAT)
    world.key_servers.down.clear()
    assert await world.operator.refresh_jwks(CAT) == 1
    with refused(Reason.NOT_REGISTERED):
        await world.operator.refresh_jwks(301)


async def test_registering_again_replaces_and_asks_anew(world: World) -> None:
    """New values hold at once, without waiting for a pause (ENL-01)."""
    await world.operator.put_partner(partner(BATS))
    world.key_servers.served[BATS] = key_set(jwk("new", "k200"))
    changed = partner(BATS, name="Bats & Sons", proxy_allowed=True, icon="https://bats.example/i.png")
    assert await world.operator.put_partner(changed) == 1
    assert (await world.operator.list_partners())[0] == changed
    with refused(Reason.TOKEN_KEY_UNKNOWN):
        await world.tokens.verify(token())


async def test_another_server_does_not_inherit_the_keys_of_the_one_before(world: World) -> None:
    """A messenger that moves to another server is verified by that server's keys, also while it is down (ENL-03)."""
    await world.operator.put_partner(partner(BATS))
    await world.tokens.verify(token())
    world.key_servers.down.add(BATS)
    await world.operator.put_partner(partner(BATS, base_url="https://elsewhere.example"))
    with refused(Reason.JWKS_UNAVAILABLE):
        await world.tokens.verify(token())


async def test_a_change_of_one_field_leaves_the_others_alone(world: World) -> None:
    """Of a partner that is registered; what it makes of the partner is checked as a whole (ENL-01)."""
    operator, before = world.operator, partner(BATS, group_messaging=True)
    await operator.put_partner(before)
    assert await operator.change_partner(BATS, {"name": "Bats & Sons"}, may_be_new=False) == 1
    assert (await operator.list_partners())[0] == replace(before, name="Bats & Sons")
    for values, reason in (({"name": ""}, Reason.REQUEST_MALFORMED), ({"issuer": partner(OWLS).issuer}, TAKEN)):
        with refused(reason):
            await operator.change_partner(BATS, values, may_be_new=False)
    with refused(Reason.NOT_REGISTERED):
        await operator.change_partner(CAT, {"name": "Cat"}, may_be_new=False)
    assert await operator.list_partners() == [replace(before, name="Bats & Sons"), partner(OWLS)]


@pytest.mark.requirement("ENL-01", "PRX-01")
@pytest.mark.parametrize("status", [PartnerStatus.ONBOARDING, PartnerStatus.REMOVED, PartnerStatus.SUSPENDED])
async def test_a_partner_that_is_not_active_loses_its_connections(world: World, status: PartnerStatus) -> None:
    """All of them, before its key set is asked for; a registration that is refused ends none."""
    world.key_servers.down.add(BATS)
    await world.operator.put_partner(partner(BATS, status=status, proxy_allowed=True))
    with refused(Reason.ALREADY_REGISTERED):
        await world.operator.put_partner(partner(OWLS, status=status, issuer=partner(BATS).issuer))
    assert world.connections.ended_partners == [(BATS, Reason.PARTNER_NOT_ACTIVE, None)]


@pytest.mark.requirement("PRX-01")
async def test_a_partner_without_the_permission_has_no_connections_by_proxy(world: World) -> None:
    """Those that connect directly stay, and all do while it has the permission."""
    await world.operator.put_partner(partner(BATS, proxy_allowed=True))
    assert world.connections.ended_partners == []
    await world.operator.put_partner(partner(BATS))
    assert world.connections.ended_partners == [(BATS, Reason.PROXY_NOT_ALLOWED, ConnectionMode.PROXY)]


@pytest.mark.requirement("PRX-01", "PRX-05")
async def test_open_connections_are_listed_page_by_page(world: World) -> None:
    """Each once, by JID, whatever opens or ends between two pages; a token is one that a page gave out."""
    connected = world.connections.known
    jids = [f"100-1000000000000{number}@interop" for number in range(5)]
    for number, jid in enumerate(jids):
        account = replace(await world.enlisted(f"user{number}"), jid=jid)
        connected[number] = ConnectionFacts(account, ConnectionMode.DIRECT, "", "", NOW_MS)

    def page(size: int, token: str = "") -> tuple[list[str], str]:
        facts, next_token = world.operator.list_connections(size, token)
        return [each.account.jid for each in facts], next_token

    first, token = page(2)
    assert first == jids[:2] and token
    del connected[0], connected[1]
    second, token = page(2, token)
    assert second == jids[2:4]
    assert page(2, token) == (jids[4:], "")
    for made_up in (jids[2], f"{jids[2]}.{'0' * 16}", token[:-1], "x" + token, " "):
        with refused(Reason.REQUEST_MALFORMED):
            page(2, made_up)
    assert page(3) == page(0) == page(1_000) == (jids[2:], "")
    for size, wrong in ((1_001, ""), (1, "AAAA"), (1, "x" * 200)):
        with refused(Reason.REQUEST_MALFORMED):
            page(size, wrong)


@pytest.mark.requirement("PRX-04")
async def test_what_is_observed_of_a_client_is_noted_of_its_connection(world: World) -> None:
    """With the time; of accounts only."""
    ada = await world.enlisted()
    await world.operator.observe_client(ada.jid, is_open=False)
    await world.operator.observe_client(ada.jid, is_open=True)
    assert world.connections.observed == [(ada.account_id, world.clock.now_ms()), (ada.account_id, None)]
    with refused(Reason.NOT_REGISTERED):
        await world.operator.observe_client("100-12345@interop", is_open=False)


async def test_an_issuer_belongs_to_one_partner(world: World) -> None:
    """Otherwise a token would not say whose it is (ENL-01, T1)."""
    with refused(Reason.ALREADY_REGISTERED):
        await world.operator.put_partner(partner(CAT, issuer=partner(BATS).issuer))
    assert len(await world.operator.list_partners()) == 2


@pytest.mark.requirement("ENL-02")
@pytest.mark.parametrize("integrator", [1, 999])
async def test_the_smallest_and_the_largest_integrator_id_are_accepted(world: World, integrator: int) -> None:
    """Ids lie in 1 to 999 (ENL-02)."""
    registered = partner(integrator, name="n" * 128)
    world.key_servers.served[integrator] = key_set(jwk("k", "k300"))
    assert await world.operator.put_partner(registered) == 1
    assert registered in await world.operator.list_partners()


BAD_URLS = [
    *(
        "",
        "x",
        "keys.example",
        "/path",
        "ftp://keys.example",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://:80",
    ),
    *(
        "https://keys.example?x=1",
        "https://keys.example#x",
        "https://user@keys.example",
        "https://u:p@keys.example",
        "https://a?",
        "https://a#",
    ),
    *("https://:secret@keys.example", "http://keys.example:99999", "http://[::1", "https://" + "k" * 512, "\0"),
]


@pytest.mark.parametrize(
    "changes",
    [
        *({"integrator": number} for number in (-1, 0, 1_000)),
        *({"name": name} for name in ("", "n" * 129)),
        *({"issuer": issuer} for issuer in ("", "i" * 513)),
        *({"base_url": url} for url in BAD_URLS),
        *({name: url} for name in ("push_url", "media_url", "icon") for url in BAD_URLS[1:]),
    ],
)
async def test_a_partner_of_wrong_form_is_not_registered(world: World, changes: dict[str, Any]) -> None:
    """Ids in range, texts bounded, URLs absolute and without anything that could be misread (ENL-02)."""
    with refused(Reason.REQUEST_MALFORMED):
        await world.operator.put_partner(partner(**({"integrator": CAT} | changes)))
    assert len(await world.operator.list_partners()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "n", "issuer": "i"},
        {"name": "n" * 128, "issuer": "i" * 512},
        *({name: f"https://{'k' * 504}"} for name in ("base_url", "push_url", "media_url", "icon")),
    ],
)
async def test_the_shortest_and_the_longest_texts_are_accepted(world: World, changes: dict[str, Any]) -> None:
    """Of a partner's names and URLs (ENL-01)."""
    world.key_servers.down.add(CAT)
    await world.operator.put_partner(partner(CAT, **changes))
    assert partner(CAT, **changes) in await world.operator.list_partners()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://[::1]:1/a/b/", "HTTPS://Keys.Example"])
async def test_urls_of_any_host_port_and_path_are_accepted(world: World, url: str) -> None:
    """Partners under test live on loopback (ENL-01)."""
    world.key_servers.served[CAT] = key_set(jwk("k300", "k300"))
    registered = partner(CAT, base_url=url, push_url=url, media_url=url)
    assert await world.operator.put_partner(registered) == 1
    assert registered in await world.operator.list_partners()


@pytest.mark.parametrize(
    ("phone_number", "auth_key", "reason"),
    [
        ("491511234567", KEY, Reason.REQUEST_MALFORMED),
        ("", KEY, Reason.REQUEST_MALFORMED),
        ("+", KEY, Reason.REQUEST_MALFORMED),
        ("+0491511234567", KEY, Reason.REQUEST_MALFORMED),
        ("+49 abc", KEY, Reason.REQUEST_MALFORMED),
        ("+491511234567", KEY[1:], Reason.KEY_MALFORMED),
        ("+491511234567", b"\x05" + KEY, Reason.KEY_MALFORMED),
        ("+491511234567", b"", Reason.KEY_MALFORMED),
    ],
)
async def test_a_whatsapp_user_has_a_number_and_a_key(
    world: World, phone_number: str, auth_key: bytes, reason: Reason
) -> None:
    """E.164 with its plus sign, and 32 bytes (OPT-04)."""
    before = await world.store.count_rows()
    with refused(reason):
        await world.operator.put_whatsapp_user(phone_number, auth_key, Platform.IOS)
    assert await world.store.count_rows() == before


async def test_a_whatsapp_users_jid_is_the_number(world: World) -> None:
    """Registering again replaces key and platform of the same account (OPT-04)."""
    user, eligible = await world.operator.put_whatsapp_user("+49 151 1234567", KEY, Platform.IOS)
    assert (user.jid, user.external_id, eligible) == ("491511234567@s.whatsapp.net", "491511234567", True)
    again, eligible = await world.operator.put_whatsapp_user("+491511234567", derived("new"), Platform.WEB)
    assert (again.account_id, again.auth_key, again.platform) == (user.account_id, derived("new"), Platform.WEB)
    assert not eligible


async def test_registering_again_ends_what_rested_on_the_old_entry(world: World) -> None:
    """A new auth key ends the connection, once; a device that does not qualify ends participation (CHN-07, OPT-04)."""
    user = await world.opted_in()
    number = f"+{user.external_id}"
    for _ in range(2):
        await world.operator.put_whatsapp_user(number, derived("new"), Platform.IOS)
    assert world.connections.ended == [(user.account_id, Reason.KEYS_REPLACED)]
    assert (await world.optin.settings(user)).chosen.enabled
    await world.operator.put_whatsapp_user(number, derived("new"), Platform.WEB)
    assert not (await world.optin.settings(user)).chosen.enabled


async def test_a_number_change_moves_the_account(world: World) -> None:
    """Choices stay while the new number qualifies; the connection, made as somebody else, ends (OPT-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    assert await world.operator.change_number(user.jid, "+33 6 12345678") == ("33612345678@s.whatsapp.net", True)
    moved = await world.account("33612345678@s.whatsapp.net")
    assert (moved.account_id, moved.external_id) == (user.account_id, "33612345678")
    assert await world.store.accounts.get(user.jid) is None
    assert world.connections.ended == [(user.account_id, Reason.NOT_ENLISTED)]
    [outcome] = await world.router.send_messages(ada, [message(moved)])
    assert outcome.refusal is None


async def test_losing_eligibility_ends_participation(world: World) -> None:
    """After a change to a number that does not qualify, nothing arrives; moving back does not turn it on (OPT-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    jid, eligible = await world.operator.change_number(user.jid, "+14155551001")
    assert not eligible
    [outcome] = await world.router.send_messages(ada, [message(jid)])
    assert outcome.refusal is not None and outcome.refusal.reason is Reason.RECIPIENT_NOT_REACHABLE
    with refused(Reason.NOT_ELIGIBLE):
        await world.optin.set_enabled(await world.account(jid), True)
    back, eligible = await world.operator.change_number(jid, "+491511234567")
    assert eligible
    assert not (await world.optin.settings(await world.account(back))).chosen.enabled


async def test_a_number_change_needs_a_user_and_a_free_number(world: World) -> None:
    """Nobody can be moved onto somebody else, and partners' users have no number to change (OPT-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    other = await world.whatsapp_user("+33612345678")
    for jid in ("491510000000@s.whatsapp.net", ada.jid):
        with refused(Reason.NOT_REGISTERED):
            await world.operator.change_number(jid, "+4915100000001")
    with refused(Reason.ALREADY_REGISTERED):
        await world.operator.change_number(user.jid, "+33612345678")
    with refused(Reason.REQUEST_MALFORMED):
        await world.operator.change_number(user.jid, "33612345678")
    with refused(Reason.USER_VISIBLE_IDENTIFIER):
        await world.operator.change_number("+491511234567", "+33612345679")
    assert (await world.account(user.jid), await world.account(other.jid)) == (user, other)
    assert world.connections.ended == []


@pytest.mark.requirement("KEY-10")
async def test_a_client_is_asked_once_to_compare_its_keys(world: World) -> None:
    """The request waits in the mailbox, one at a time; a connection is woken for it (KEY-10)."""
    ada = await world.enlisted()
    for _ in range(2):
        await world.operator.request_key_digest(ada.jid)
    [request] = await world.waiting(ada)
    assert decode(request) == DigestRequested()
    assert world.connections.woken == [ada.account_id] * 2
    with refused(Reason.NOT_REGISTERED):
        await world.operator.request_key_digest("100-1@interop")
    with refused(Reason.USER_VISIBLE_IDENTIFIER):
        await world.operator.request_key_digest("bob")
