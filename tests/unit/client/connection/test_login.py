"""What a client says of itself at login."""

import pytest

from interop_api.v1 import chat_pb2
from interop_client.connection.login import CAPABILITIES, LoginOptions, third_party_login, whatsapp_login


def test_the_sdk_names_all_capabilities_that_there_are() -> None:
    """One that is added to the contract is added here, too, once the SDK knows what needs it."""
    assert set(CAPABILITIES) == set(chat_pb2.Capability.values()) - {chat_pb2.CAPABILITY_UNSPECIFIED}
    assert len(set(CAPABILITIES)) == len(CAPABILITIES)


@pytest.mark.parametrize("named", [(), (chat_pb2.CAPABILITY_TYPING,)])
def test_an_application_may_name_fewer(named: tuple[chat_pb2.Capability.ValueType, ...]) -> None:
    """Then nothing comes that needs another one."""
    options = LoginOptions(capabilities=named)
    third_party = third_party_login("12-34@interop", "a.b.c", options)
    assert list(third_party.capabilities) == list(whatsapp_login("49151@s.whatsapp.net", options).capabilities)
    assert list(third_party.capabilities) == list(named)
    assert list(third_party_login("12-34@interop", "a.b.c").capabilities) == list(CAPABILITIES)
