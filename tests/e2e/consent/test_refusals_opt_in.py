"""Choices that a user may not make, and look-ups that are none."""

import itertools
from typing import Any

import pytest
from google.protobuf.message import Message

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import account_pb2, integrity_pb2, interop_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, case, check, check_error, no_trace, refused

TERMS = "20240306"
SHOWN, ACCEPTED = interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED
_numbers = itertools.count(20_000_000)


async def call(client: InteropClient, method: str, request: Message) -> Any:
    """Makes a call of the interop service."""
    return await client.transport.call(
        f"/interop_api.v1.InteropService/{method}", request, getattr(interop_pb2, f"{method}Response")
    )


async def new_user(world: World, prefix: str, platform: admin_pb2.DevicePlatform.ValueType) -> WhatsAppClient:
    """A connected WhatsApp user with a number of any country, and any device."""
    alice = await world.whatsapp_device(QUIET)
    alice.state.jid = await world.admin.put_whatsapp_user(
        f"{prefix}{next(_numbers)}", alice.state.auth_public_key, platform
    )
    await alice.connect()
    return alice


@pytest.mark.requirement("OPT-03")
async def test_the_terms_come_first(world: World) -> None:
    """Accepted only after they were shown; nothing is turned on before (OPT-03)."""
    alice = await world.whatsapp(opted_in=False, options=QUIET)
    turn_on = interop_pb2.SetThirdPartyChatsRequest(enabled=True)
    opt_in = interop_pb2.OptInRequest(integrators=[world.integrator])
    async with no_trace(world.admin):
        with refused("TERMS_NOT_ACCEPTED"):
            await alice.record_terms(ACCEPTED)
        for terms_id, result in (
            (TERMS, interop_pb2.TERMS_RESULT_UNSPECIFIED),
            (TERMS, 3),
            ("", SHOWN),
            ("20240307", SHOWN),
            (f"{TERMS}\0", SHOWN),
            ("x" * 100_000, ACCEPTED),
        ):
            with refused("REQUEST_MALFORMED", (terms_id[:10], result)):
                await call(alice, "RecordTerms", interop_pb2.RecordTermsRequest(terms_id=terms_id, result=result))
        for method, request in (("OptIn", opt_in), ("SetThirdPartyChats", turn_on)):
            with refused("TERMS_NOT_ACCEPTED", method):
                await call(alice, method, request)
    await alice.record_terms(SHOWN)
    async with no_trace(world.admin):
        for method, request in (("OptIn", opt_in), ("SetThirdPartyChats", turn_on)):
            with refused("TERMS_NOT_ACCEPTED", f"{method} after they were shown"):
                await call(alice, method, request)
    settings = await alice.get_settings()
    assert not settings.enabled and not settings.terms_accepted and not settings.integrators


@pytest.mark.requirement("OPT-03")
async def test_only_active_partners_can_be_chosen(world: World, second_world: World) -> None:
    """One that is unknown or not active fails the whole set, and the set before stays (OPT-03)."""
    alice = await world.whatsapp(options=QUIET)
    for integrator in (0, 996, 1_000, 2**32 - 1):
        async with no_trace(world.admin):
            with refused("PARTNER_UNKNOWN", integrator):
                await alice.opt_in([world.integrator, integrator])
    for status in (
        interop_pb2.PARTNER_STATUS_ONBOARDING,
        interop_pb2.PARTNER_STATUS_SUSPENDED,
        interop_pb2.PARTNER_STATUS_REMOVED,
    ):
        await second_world.register(status=status)
        async with no_trace(world.admin):
            with refused("PARTNER_UNKNOWN", status):
                await alice.opt_in([world.integrator, second_world.integrator])
    async with no_trace(world.admin):
        for choose in (alice.opt_in, alice.opt_out):
            with refused("TOO_MANY_ITEMS", choose.__name__):
                await choose(range(1, 1_001))
    assert list((await alice.get_settings()).integrators) == [world.integrator]


@pytest.mark.requirement("OPT-04")
async def test_number_and_device_must_qualify(world: World) -> None:
    """A number of the EEA, on Android or iOS; the partner does not see the difference (OPT-04)."""
    android, web, desktop = (
        admin_pb2.DEVICE_PLATFORM_ANDROID,
        admin_pb2.DEVICE_PLATFORM_WEB,
        admin_pb2.DEVICE_PLATFORM_DESKTOP,
    )
    for prefix, platform in (
        ("+1202", android),
        ("+44", android),
        ("+7", android),
        ("+49151", web),
        ("+49151", desktop),
    ):
        alice = await new_user(world, prefix, platform)
        await alice.accept_terms()
        async with no_trace(world.admin):
            with refused("NOT_ELIGIBLE", (prefix, platform)):
                await alice.opt_in([world.integrator])
            with refused("NOT_ELIGIBLE", (prefix, platform)):
                await alice.set_third_party_chats(True)
        settings = await alice.get_settings()
        assert not settings.eligible and not settings.enabled and not settings.integrators


async def test_choices_belong_to_whatsapp_users(world: World) -> None:
    """A third-party user has none of them, and a WhatsApp user's account is not deleted here (OPT-02, LIF-03)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    requests: dict[str, Message] = {
        "ListPartners": interop_pb2.ListPartnersRequest(),
        "RecordTerms": interop_pb2.RecordTermsRequest(terms_id=TERMS, result=SHOWN),
        "OptIn": interop_pb2.OptInRequest(integrators=[world.integrator]),
        "OptOut": interop_pb2.OptOutRequest(integrators=[world.integrator]),
        "SetThirdPartyChats": interop_pb2.SetThirdPartyChatsRequest(enabled=True),
        "SetInboxMode": interop_pb2.SetInboxModeRequest(inbox_mode=stanza_pb2.INBOX_MODE_COMBINED),
        "GetInteropSettings": interop_pb2.GetInteropSettingsRequest(),
        "AnswerMessageRequest": interop_pb2.AnswerMessageRequestRequest(
            peer_jid=alice.jid, answer=interop_pb2.MESSAGE_REQUEST_ANSWER_ACCEPT
        ),
        "GetReachability": interop_pb2.GetReachabilityRequest(),
        "SetReachability": interop_pb2.SetReachabilityRequest(enabled=True),
        "ListThirdPartyChats": interop_pb2.ListThirdPartyChatsRequest(),
        "DeleteThirdPartyChat": interop_pb2.DeleteThirdPartyChatRequest(peer_jid=alice.jid),
    }
    methods = set(interop_pb2.DESCRIPTOR.services_by_name["InteropService"].methods_by_name)
    assert requests.keys() == methods - {"Resolve", "SendReachabilityPing"}
    async with no_trace(world.admin):
        for method, request in requests.items():
            with refused("CALLER_NOT_WHATSAPP_USER", method):
                await call(bob, method, request)
        with refused("CALLER_NOT_THIRD_PARTY_USER"):
            await alice.transport.call(
                "/interop_api.v1.AccountService/DeleteAccount",
                account_pb2.DeleteAccountRequest(),
                account_pb2.DeleteAccountResponse,
            )


async def test_values_out_of_range_are_refused(world: World) -> None:
    """Modes, actions, page sizes and page tokens that the server has not (OPT-05, OPT-06, ABU-01)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    async with no_trace(world.admin):
        for mode in (stanza_pb2.INBOX_MODE_UNSPECIFIED, 3, 2**31 - 1):
            with refused("REQUEST_MALFORMED", mode):
                await call(alice, "SetInboxMode", interop_pb2.SetInboxModeRequest(inbox_mode=mode))
        for page_size in (1_001, 2**32 - 1):
            with refused("REQUEST_MALFORMED", page_size):
                await call(alice, "ListThirdPartyChats", interop_pb2.ListThirdPartyChatsRequest(page_size=page_size))
        for token in ("x", ":", "1:", ":bob", "-1:bob", "1.5:bob", "\N{SUPERSCRIPT TWO}:bob", "1:" + "b" * 200):
            with refused("REQUEST_MALFORMED", token[:20]):
                await call(alice, "ListThirdPartyChats", interop_pb2.ListThirdPartyChatsRequest(page_token=token))
        for action in (integrity_pb2.BLOCK_ACTION_UNSPECIFIED, 3):
            for client in (alice, bob):
                with refused("REQUEST_MALFORMED", action):
                    await client.transport.call(
                        "/interop_api.v1.IntegrityService/UpdateBlocklist",
                        integrity_pb2.UpdateBlocklistRequest(action=action, jid=bob.jid),
                        integrity_pb2.UpdateBlocklistResponse,
                    )


async def look_up(client: InteropClient, *users: tuple[str, int]) -> list[interop_pb2.ResolvedUser]:
    """Resolves users by identifier and integrator."""
    request = interop_pb2.ResolveRequest(
        users=[
            interop_pb2.ExternalUser(external_id=external_id, integrator=integrator)
            for external_id, integrator in users
        ]
    )
    return list((await call(client, "Resolve", request)).users)


@pytest.mark.requirement("OPT-08")
async def test_hostile_identifiers_resolve_to_nobody(world: World) -> None:
    """Each has its own answer beside that of a good one; none is a way into the store (OPT-08)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    hostile = [
        "", " ", "b b", "b@b", "b\nb", "b\0", "\0", "x" * 65, "x" * 321, "x" * 100_000, "\N{PILE OF POO}" * 81,
        "\N{NO-BREAK SPACE}", "bob\x7f", "b\N{ZERO WIDTH SPACE}ob", "\N{RIGHT-TO-LEFT OVERRIDE}bob", "\N{PILE OF POO}",
    ]  # fmt: skip
    nobody = [
        "'OR''='", "%", "_ob", "bob'--", "bob;drop", "\N{CYRILLIC SMALL LETTER VE}ob", "bo\N{COMBINING DIAERESIS}b",
    ]  # fmt: skip
    numbers = [
        "bob",
        "+",
        "+49",
        "+0491511234567",
        "1" * 16,
        "+49151x",
        "\N{ARABIC-INDIC DIGIT ONE}234567",
        "tel:+49151123",
    ]
    here = world.integrator
    async with no_trace(world.admin):
        results = await look_up(
            alice, *((text, here) for text in hostile), *((text, here) for text in nobody), ("BOB", here)
        )
        for text, result in zip(hostile, results, strict=False):
            with case(repr(text[:20])):
                assert result.external_id == text
                check_error(result.error, "REQUEST_MALFORMED")
        for text, result in zip(nobody, results[len(hostile) :], strict=False):
            with case(repr(text)):
                check_error(result.error, "RECIPIENT_NOT_REACHABLE")
        assert results[-1].resolved == interop_pb2.Resolved(jid=bob.jid, normalized_external_id="bob")
        for client, integrator, text in (
            *((alice, integrator, "bob") for integrator in (1_000, 2**32 - 1)),
            *((bob, 0, number) for number in numbers),
        ):
            with case((integrator, text)):
                (result,) = await look_up(client, (text, integrator))
                check_error(result.error, "REQUEST_MALFORMED")


@pytest.mark.requirement("OPT-08", "OPT-09")
async def test_look_ups_come_in_bounded_lists_at_a_bounded_rate(world: World) -> None:
    """0 and 257 are refused; who asks too much is told when to come back, and others are not held up (OPT-09)."""
    bob, carol = await world.third_party("bob", QUIET), await world.third_party("carol", QUIET)
    for count, reason in ((0, "REQUEST_MALFORMED"), (257, "TOO_MANY_ITEMS")):
        with refused(reason, count):
            await look_up(bob, *[("+4915100000000", 0)] * count)
    refusal = None
    for _ in range(6):
        try:
            assert len(await look_up(bob, *[("+4915100000000", 0)] * 256)) == 256
        except ServerRefusal as error:
            refusal = error
            break
    assert refusal is not None
    check(refusal, "RATE_LIMITED")
    assert refusal.retry_after_ms is not None and 0 < refusal.retry_after_ms <= 60_000
    (result,) = await look_up(carol, ("+4915100000000", 0))
    check_error(result.error, "RECIPIENT_NOT_REACHABLE")
