"""A login is read, or refused; and where it comes from."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import chat_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import ConnectionMode, Login
from interop_server.rpc.convert import login

from .wire import refusal_of

STATIC_KEY = bytes(range(32))
DIRECT, PROXY = chat_pb2.CONNECTION_MODE_DIRECT, chat_pb2.CONNECTION_MODE_PROXY
INTEROP = chat_pb2.PRODUCT_INTEROP
INTEROP_DATA = chat_pb2.InteropData(account_id=2**64 - 1, token=b"a.b.c", enable_read_receipts=True)


def interop_login(**changes: Any) -> bytes:
    fields = {"product": INTEROP, "interop_data": INTEROP_DATA, "protocol_version": 1, "connection_mode": DIRECT}
    fields |= changes
    return chat_pb2.LoginPayload(**{k: v for k, v in fields.items() if v is not None}).SerializeToString()


def whatsapp_login(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"username": 491511234567, "protocol_version": 2, "connection_mode": DIRECT}
    return chat_pb2.LoginPayload(**fields | changes).SerializeToString()


@pytest.mark.requirement("CHN-06")
def test_a_third_party_users_login_is_read() -> None:
    """Account number, token and settings come from `interop_data` (CHN-06, PRX-01)."""
    expected = Login(STATIC_KEY, "", 2**64 - 1, "a.b.c", 1, ConnectionMode.DIRECT, "", True, True)
    assert login.login_from(interop_login(), STATIC_KEY) == expected
    said = login.login_from(interop_login(capabilities=[1, 99, 1], max_frame_bytes=200_000), STATIC_KEY)
    assert said == replace(expected, capabilities=frozenset({1, 99}), max_frame_bytes=200_000)
    by_proxy = interop_login(connection_mode=PROXY, client_ip="198.51.100.7", protocol_version=2**32 - 1)
    assert login.login_from(by_proxy, STATIC_KEY) == replace(
        expected, mode=ConnectionMode.PROXY, client_ip="198.51.100.7", protocol_version=2**32 - 1
    )


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_the_read_receipt_setting_is_the_products_own(outer: bool, inner: bool) -> None:
    """A third-party user's stands in `interop_data`, a WhatsApp user's beside it (RCP-01)."""
    data = chat_pb2.InteropData(account_id=1, token=b"a.b.c", enable_read_receipts=inner)
    assert login.login_from(interop_login(interop_data=data, enable_read_receipts=outer), b"").read_receipts is inner
    assert login.login_from(whatsapp_login(enable_read_receipts=outer), b"").read_receipts is outer


def test_a_whatsapp_users_login_is_read() -> None:
    """A number is all that it says of itself (CHN-06)."""
    read = login.login_from(whatsapp_login(username=10**15 - 1), STATIC_KEY)
    assert read == Login(STATIC_KEY, "9" * 15, 0, "", 2, ConnectionMode.DIRECT, "", False, False)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"\xff", Reason.LOGIN_MALFORMED, id="no protobuf"),
        pytest.param(interop_login()[:-1], Reason.LOGIN_MALFORMED, id="cut off"),
        pytest.param(b"", Reason.LOGIN_MALFORMED, id="empty"),
        pytest.param(interop_login(product=1), Reason.LOGIN_MALFORMED, id="another product"),
        pytest.param(interop_login(product=99), Reason.LOGIN_MALFORMED, id="an unknown product"),
        pytest.param(interop_login(connection_mode=None), Reason.LOGIN_MALFORMED, id="no mode"),
        pytest.param(interop_login(connection_mode=7), Reason.LOGIN_MALFORMED, id="an unknown mode"),
        pytest.param(interop_login(interop_data=None), Reason.LOGIN_MALFORMED, id="interop without its data"),
        pytest.param(whatsapp_login(interop_data=INTEROP_DATA), Reason.LOGIN_MALFORMED, id="WhatsApp with them"),
        pytest.param(interop_login(username=1), Reason.LOGIN_MALFORMED, id="interop with a number"),
        pytest.param(whatsapp_login(username=0), Reason.LOGIN_MALFORMED, id="WhatsApp without one"),
        pytest.param(whatsapp_login(username=10**15), Reason.LOGIN_MALFORMED, id="a number of 16 digits"),
        pytest.param(
            interop_login(interop_data=chat_pb2.InteropData(token="é".encode())), Reason.TOKEN_MALFORMED, id="token"
        ),
        pytest.param(interop_login(client_ip="x") + b"\xda\x3e\x01\xff", Reason.LOGIN_MALFORMED, id="text not UTF-8"),
    ],
)
def test_a_malformed_login_is_refused(payload: bytes, reason: Reason) -> None:
    """Each product has its own fields, and no others (CHN-06)."""
    assert refusal_of(login.login_from, payload, STATIC_KEY).reason is reason


@given(st.binary(max_size=200))
def test_any_bytes_are_a_login_or_refused(payload: bytes) -> None:
    """Nothing but a Refusal escapes (CHN-06)."""
    try:
        assert login.login_from(payload, STATIC_KEY).static_key == STATIC_KEY
    except Refusal as refusal:
        assert refusal.reason in (Reason.LOGIN_MALFORMED, Reason.TOKEN_MALFORMED)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:203.0.113.7:43210", "203.0.113.7"),
        ("ipv6:[2001:db8::1]:443", "2001:db8::1"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::1"),
        ("unix:/run/interopsim.sock", ""),
        ("unix:", ""),
        ("", ""),
        ("ipv4:203.0.113.7", ""),
    ],
)
def test_a_peer_is_known_by_its_address(peer: str, address: str) -> None:
    """In each form that gRPC gives it; where it has none, nothing is known."""
    assert login.peer_ip_from(peer) == address


@pytest.mark.requirement("ABU-07")
@pytest.mark.parametrize(
    ("peer", "form"),
    [
        ("ipv4:198.51.100.7:1", "ipv4:198.51.100.7:1"),
        ("ipv6:[::ffff:198.51.100.7]:1", "ipv4:198.51.100.7:1"),
        ("ipv6:%5B::ffff:c633:6407%5D:1", "ipv4:198.51.100.7:1"),
        ("ipv6:%5B2001:db8::1%5D:1", "ipv6:%5B2001:db8::1%5D:1"),
        ("unix:/tmp/socket", "unix:/tmp/socket"),
    ],
)
def test_a_peer_with_an_address_inside_of_another_has_one_form(peer: str, form: str) -> None:
    """So that two users with one address share it in the score, whatever the socket is (ABU-07)."""
    assert login.peer_in_one_form(peer) == form
