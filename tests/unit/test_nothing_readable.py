"""The contract has no place for plaintext or message keys: it is known what each field that could hold some is for."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import fields

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

import interop_api.v1
from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.connection import proxy_frames
from interop_server.rpc.convert import shown
from partner_server.upstream import UNARY_METHODS

pytestmark = pytest.mark.requirement("PRX-06")

HOLDS = {
    "a public key": "authkey e_ident e_skey_val ephemeral static_key identity_key public_key one_time_prekey "
    "signed_prekey key",
    "what a certificate says": "details",
    "the type or id of a key": "e_keytype e_regid e_skey_id key_type",
    "a signature or digest of what is public": "e_skey_sig signature signed_prekey_signature digest phash",
    "what only the ends can open": "ciphertext sealed payload chunk",
    "a proof of who may do something": "token upload_token auth session_token",
    "a tag that says nothing without its secret": "reporting_token",
    "an address": "jid jids from_jid to_jid login peer_jid external_id normalized_external_id phone_number client_ip "
    "hosts direct_path icon",
    "an id": "id message_id message_ids request_id report_id challenge_id requirement terms_id",
    "a name that is meant to be shown": "display_name partner_name name",
    "a code that proves who reads a channel": "digits answer",
    "what the server says, or is to be told back": "advice page_token next_page_token captcha_prompt field description "
    "kind server_version",
}
"""What the fields of each name are for; none of it is what people write to each other, or opens it."""
REVEALED = {"interop_api.v1.ReportedMessage.plaintext", "interop_api.v1.ReportedMessage.message_secret"}
"""What a reporter reveals of a message that they have received, by their own choice (ABU-03)."""

SECRET = {
    "what only the ends can open",
    "a proof of who may do something",
    "a tag that says nothing without its secret",
    "a code that proves who reads a channel",
}
"""Kinds of fields whose content is shown to nobody."""
SEALED = {"interop_api.v1.ServerHello.static_key", "interop_api.v1.ClientFinish.static_key"}
"""Public keys that travel encrypted."""

KNOWN = {name: kind for kind, names in HOLDS.items() for name in names.split()}
TEXTUAL = (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)


def services() -> Iterator[ServiceDescriptor]:
    """Every service that clients call."""
    for module in pkgutil.iter_modules(interop_api.v1.__path__):
        if module.name.endswith("_pb2"):
            yield from importlib.import_module(f"interop_api.v1.{module.name}").DESCRIPTOR.services_by_name.values()


def reachable(messages: Iterable[Descriptor]) -> dict[str, Descriptor]:
    """Messages, and all that they can hold, by name."""
    found: dict[str, Descriptor] = {}
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found:
            found[message.full_name] = message
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return found


def contract() -> dict[str, Descriptor]:
    """All that travels between clients and server: requests, responses, stanzas and the login."""
    methods = [method for service in services() for method in service.methods]
    roots = [message for method in methods for message in (method.input_type, method.output_type)]
    sealed = [
        message for file in {message.file for message in roots} for message in file.message_types_by_name.values()
    ]
    return reachable([*roots, *sealed, stanza_pb2.Batch.DESCRIPTOR])


def unknown_fields(messages: Iterable[Descriptor]) -> set[str]:
    """Fields that could hold a text or a key, and of which nobody has said what they hold."""
    return {
        field.full_name
        for message in messages
        for field in message.fields
        if field.type in TEXTUAL and field.name not in KNOWN
    }


def test_no_field_is_for_plaintext_or_message_keys() -> None:
    """But what somebody reveals who reports a message: they have read it already."""
    messages = contract()
    assert len(messages) > 100
    assert {"interop_api.v1.Batch", "interop_api.v1.Stanza", "interop_api.v1.LoginPayload"} < set(messages)
    assert unknown_fields(messages.values()) == REVEALED


def test_whoever_shows_a_message_of_the_chat_channel_knows_which_fields_are_secret() -> None:
    """A new field must be put somewhere above, and is secret by what it is for."""
    roots = (chat_pb2.ConnectRequest, chat_pb2.ConnectResponse, chat_pb2.LoginPayload, stanza_pb2.Batch)
    messages = reachable(root.DESCRIPTOR for root in roots).values()
    textual = [field for message in messages for field in message.fields if field.type in TEXTUAL]
    assert [field.full_name for field in textual if field.name not in KNOWN] == []
    secret = {field.full_name for field in textual if KNOWN[field.name] in SECRET}
    assert secret | SEALED == shown.SECRET


def test_contents_are_no_part_of_the_contract() -> None:
    """What clients encrypt has protos of its own, and nothing that a server takes or gives can hold one of them."""
    assert [name for name in contract() if "e2ee" in name or name.startswith("google.protobuf.Any")] == []


def test_the_check_finds_what_it_must_not_find() -> None:
    """In the contents of messages it finds texts and keys."""
    found = unknown_fields(reachable(content_pb2.DESCRIPTOR.message_types_by_name.values()).values())
    assert any(name.endswith((".text", ".conversation")) for name in found), found
    assert any("media_key" in name for name in found)


def test_no_kind_of_field_is_left_over() -> None:
    """A name that no field has any more would wave through a field of that name to come."""
    used = {field.name for message in contract().values() for field in message.fields if field.type in TEXTUAL}
    assert set(KNOWN) - used == set()
    assert len(KNOWN) == sum(len(names.split()) for names in HOLDS.values())


def test_the_proxy_has_no_calls_of_its_own() -> None:
    """It relays those of the contract; its hello and its last word hold nothing else that a person wrote."""
    relayed = {name.rpartition("/")[0].removeprefix("/") for name in UNARY_METHODS}
    assert relayed <= {service.full_name for service in services()}
    assert {field.name for field in fields(proxy_frames.Hello)} == {
        "user",
        "token",
        "jid",
        "read_receipts",
        "capabilities",
    }
    told = {"reason", "advice", "requirement", "retry_after_ms", "login_code", "expires_after_seconds"}
    assert {field.name for field in fields(proxy_frames.Ended)} >= told
