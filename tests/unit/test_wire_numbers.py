"""Field numbers that are WhatsApp's own and not ours to change: what another implementation sends must be readable."""

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor

from interop_api.e2ee.v1 import session_pb2
from interop_api.v1 import chat_pb2

OBSERVED = [
    (chat_pb2.HandshakeMessage, {"client_hello": 2, "server_hello": 3, "client_finish": 4}),
    (chat_pb2.ClientHello, {"ephemeral": 1}),
    (chat_pb2.ServerHello, {"ephemeral": 1, "static_key": 2, "payload": 3}),
    (chat_pb2.ClientFinish, {"static_key": 1, "payload": 2}),
    (chat_pb2.LoginPayload, {"username": 1, "product": 20, "interop_data": 38}),
    (chat_pb2.InteropData, {"account_id": 1, "token": 2, "enable_read_receipts": 3}),
]
FIRST_INVENTED = 1000
NOT_MODELLED = [
    (chat_pb2.ClientHello, {*range(2, 11)}),
    (chat_pb2.ServerHello, {4, 5, 6}),
    (chat_pb2.ClientFinish, {3, 4, 5}),
    (chat_pb2.LoginPayload, {3, 5, 6, 7, 9, 12, 13, 16, 18, 19, 21, 33, *range(40, 49)}),
    (session_pb2.SignalMessage, {5, 6}),
    (session_pb2.PreKeySignalMessage, {7, 8}),
]
"""Numbers that mean something on the observed wire, and nothing here."""


def numbers(message: Descriptor) -> dict[str, int]:
    return {field.name: field.number for field in message.fields}


@pytest.mark.requirement("CHN-03", "CHN-06")
@pytest.mark.parametrize(("message", "observed"), OBSERVED, ids=lambda value: getattr(value, "__name__", ""))
def test_handshake_and_login_have_the_numbers_of_the_wire(message: type, observed: dict[str, int]) -> None:
    """Each observed field has its number, and what was invented beside them stays out of their way."""
    ours = numbers(message.DESCRIPTOR)  # type: ignore[attr-defined]
    assert {name: number for name, number in ours.items() if number < FIRST_INVENTED} == observed


@pytest.mark.parametrize(("message", "observed"), NOT_MODELLED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_observed_and_not_modelled_is_kept_free(message: type, observed: set[int]) -> None:
    """No later release can give one of these numbers another meaning by mistake."""
    proto = descriptor_pb2.DescriptorProto()
    message.DESCRIPTOR.CopyToProto(proto)  # type: ignore[attr-defined]
    assert {number for kept in proto.reserved_range for number in range(kept.start, kept.end)} == observed


def test_the_other_products_are_kept_free() -> None:
    """MESSENGER is 1, INTEROP_MSGR 3, WHATSAPP_LID 4."""
    proto = descriptor_pb2.EnumDescriptorProto()
    chat_pb2.Product.DESCRIPTOR.CopyToProto(proto)
    assert [(kept.start, kept.end) for kept in proto.reserved_range] == [(1, 1), (3, 3), (4, 4)]


@pytest.mark.requirement("CHN-03")
def test_the_bytes_of_a_client_hello_are_those_of_the_wire() -> None:
    """Message 2, 34 bytes: field 1, 32 bytes."""
    key = bytes(range(32))
    hello = chat_pb2.HandshakeMessage(client_hello=chat_pb2.ClientHello(ephemeral=key))
    assert hello.SerializeToString() == b"\x12\x22\x0a\x20" + key


@pytest.mark.requirement("CHN-06")
def test_a_third_party_client_says_that_it_is_one() -> None:
    """INTEROP is product 2."""
    assert chat_pb2.PRODUCT_INTEROP == 2
    assert chat_pb2.PRODUCT_WHATSAPP == 0
