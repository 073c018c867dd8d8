"""What an operator may not register: refused, and what was registered before stays."""

from typing import Any

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from interop_api.admin.v1alpha1 import admin_pb2
from interop_client.connection.calls import unary_call
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, no_trace, refused, spare_integrators

PUT_PARTNER = "/interop_api.admin.v1alpha1.AdminService/PutPartner"
BAD_URLS = [
    "nonsense", "/path", "//127.0.0.1", "ftp://127.0.0.1", "file:///etc/passwd", "javascript:alert(1)", "http://", "http:///x",
    "http://:80", "http://127.0.0.1:0", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://user@127.0.0.1",
    "http://user:secret@127.0.0.1", "http://127.0.0.1/?a=b", "http://127.0.0.1/?", "http://127.0.0.1/#a", "http://[::1",
    "http://127.0.0.1/" + "x" * 500,
]  # fmt: skip


@pytest.mark.requirement("PRX-05")
async def test_a_page_begins_where_the_last_one_ended(world: World) -> None:
    """Any other place is none, also one that looks like it (PRX-05)."""
    async with grpc.aio.insecure_channel(world.endpoint.admin) as channel:
        for token in ("nonsense", "4915110000001@s.whatsapp.net", "x" * 10_000):
            with refused("REQUEST_MALFORMED", token[:20]) as caught:
                await unary_call(
                    channel,
                    "/interop_api.admin.v1alpha1.AdminService/ListConnections",
                    admin_pb2.ListConnectionsRequest(page_token=token),
                    admin_pb2.ListConnectionsResponse,
                )
            assert caught.value.requirement == "PRX-05"


@pytest.mark.requirement("ENL-01", "ENL-02")
async def test_a_partner_must_be_registered_completely(world: World) -> None:
    """Ids, names, issuers, states and addresses in range; anything else changes nothing (ENL-01, ENL-02)."""
    good = await world.register()
    changes: list[dict[str, Any]] = [{"integrator": number} for number in (0, 1_000, 2**32 - 1)]
    changes += [{"name": name} for name in ("", "x" * 129)]
    changes += [{"issuer": issuer} for issuer in ("", "x" * 513)]
    changes += [{"status": status} for status in (0, 5, 2**31 - 1)]
    changes += [{"identifier_type": kind} for kind in (0, 4)]
    changes += [{field: url} for field in ("base_url", "push_url", "media_url", "icon") for url in BAD_URLS]
    changes += [{"base_url": ""}]
    async with no_trace(world.admin):
        for change in changes:
            partner = admin_pb2.Partner()
            partner.CopyFrom(good)
            for name, value in change.items():
                setattr(partner, name, value)
            with refused("REQUEST_MALFORMED", change):
                await world.admin.put_partner(partner)
        with refused("REQUEST_MALFORMED", "nothing"):
            await world.admin.put_partner(admin_pb2.Partner())
    assert good in await world.admin.list_partners()


async def test_a_mask_names_fields_that_can_change(world: World) -> None:
    """Anything else changes nothing, and the refusal says what was wrong (ENL-01)."""
    good = await world.register()
    nobody = admin_pb2.Partner(integrator=next(spare_integrators), name="Nobody")
    async with no_trace(world.admin):
        for path in ("integrator", "nonsense", "name.first", "Name", ""):
            with refused("REQUEST_MALFORMED", path) as caught:
                await world.admin.put_partner(good, "name", path)
            assert repr(path) in caught.value.advice
        for path in ("name", "issuer", "status", "identifier_type", "base_url"):
            with refused("REQUEST_MALFORMED", f"an empty {path}"):
                await world.admin.put_partner(admin_pb2.Partner(integrator=good.integrator), path)
        with refused("NOT_REGISTERED"):
            await world.admin.put_partner(nobody, "name")
        with refused("TOO_MANY_ITEMS"):
            await world.admin.put_partner(good, *["name"] * 65)
        with refused("REQUEST_MALFORMED"):
            request = admin_pb2.PutPartnerRequest(partner=good, update_mask=FieldMask())
            async with grpc.aio.insecure_channel(world.endpoint.admin) as channel:
                await unary_call(channel, PUT_PARTNER, request, admin_pb2.PutPartnerResponse)
    assert good in await world.admin.list_partners()


async def test_an_issuer_belongs_to_one_partner(world: World, second_world: World) -> None:
    """Neither a new partner nor a changed one takes another's (ENL-01)."""
    taken = (await second_world.register()).issuer
    own = await world.register()
    new = admin_pb2.Partner()
    new.CopyFrom(own)
    new.integrator = next(spare_integrators)
    async with no_trace(world.admin):
        for partner in (new, own):
            partner.issuer = taken
            with refused("ALREADY_REGISTERED", partner.integrator):
                await world.admin.put_partner(partner)
    bob = await world.third_party("bob", QUIET)
    await bob.ping()


async def test_only_registered_partners_have_key_sets(world: World) -> None:
    """One that is not there is named as such (ENL-03)."""
    for integrator in (0, 994, 1_000, 2**32 - 1):
        with refused("NOT_REGISTERED", integrator):
            await world.admin.refresh_jwks(integrator)


async def test_a_whatsapp_user_needs_a_number_a_key_and_a_device(world: World) -> None:
    """E.164 with its plus sign, 32 bytes, a known platform (KEY-02, OPT-04)."""
    key = bytes(range(32))
    numbers = [
        "", "+", "4915112345678", "+1234", "+" + "1" * 16, "+0491511234567", "+49151x", "+49 151 +1", "++4915112345678",
        "+\N{ARABIC-INDIC DIGIT ONE}23456789", "alice", "+4915112345678@s.whatsapp.net", "+" + "1" * 100_000,
    ]  # fmt: skip
    async with no_trace(world.admin):
        for number in numbers:
            with refused("REQUEST_MALFORMED", number[:40]):
                await world.admin.put_whatsapp_user(number, key)
        for length in (0, 31, 33, 1_000):
            with refused("KEY_MALFORMED", length):
                await world.admin.put_whatsapp_user("+4915112345678", bytes(length))
        for platform in (admin_pb2.DEVICE_PLATFORM_UNSPECIFIED, 5, 2**31 - 1):
            with refused("REQUEST_MALFORMED", platform):
                await put_on_platform(world, platform)


async def put_on_platform(world: World, platform: int) -> None:
    """Registers a WhatsApp user with a device of any kind."""
    await world.admin.put_whatsapp_user("+4915112345678", bytes(32), admin_pb2.DevicePlatform.ValueType(platform))


async def test_a_number_moves_only_from_a_whatsapp_user_to_a_free_number(world: World) -> None:
    """Unknown and third-party JIDs do not move; a taken number stays with whom it belongs to (OPT-04)."""
    alice, other = await world.whatsapp(options=QUIET), await world.whatsapp(options=QUIET)
    bob = await world.third_party("bob", QUIET)
    free, taken = "+4915188888888", f"+{other.jid.partition('@')[0]}"
    async with no_trace(world.admin):
        for jid, number, reason in (
            ("4915188888887@s.whatsapp.net", free, "NOT_REGISTERED"),
            (bob.jid, free, "NOT_REGISTERED"),
            (f"{world.integrator}-1@interop", free, "NOT_REGISTERED"),
            ("alice", free, "USER_VISIBLE_IDENTIFIER"),
            ("", free, "ADDRESS_MALFORMED"),
            ("1@g.us", free, "GROUPS_NOT_SUPPORTED"),
            (alice.jid, taken, "ALREADY_REGISTERED"),
            (alice.jid, "", "REQUEST_MALFORMED"),
            (alice.jid, free[1:], "REQUEST_MALFORMED"),
            (alice.jid, "+" + "9" * 16, "REQUEST_MALFORMED"),
        ):
            with refused(reason, (jid, number)):
                await world.admin.change_number(jid, number)
    for client in (alice, other, bob):
        await client.ping()
