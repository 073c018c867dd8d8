"""Field numbers that are WhatsApp's own and not ours to change: what another implementation sends must be readable."""

import pytest
from google.protobuf.descriptor import Descriptor

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


def numbers(message: Descriptor) -> dict[str, int]:
    return {field.name: field.number for field in message.fields}


@pytest.mark.requirement("CHN-03", "CHN-06")
@pytest.mark.parametrize(("message", "observed"), OBSERVED, ids=lambda value: getattr(value, "__name__", ""))
def test_handshake_and_login_have_the_numbers_of_the_wire(message: type, observed: dict[str, int]) -> None:
    """Each observed field has its number, and what was invented beside them stays out of their way."""
    ours = numbers(message.DESCRIPTOR)  # type: ignore[attr-defined]
    assert {name: number for name, number in ours.items() if number < FIRST_INVENTED} == observed


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
