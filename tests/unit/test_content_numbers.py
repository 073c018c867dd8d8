"""What two implementations must agree on to read each other's contents, as literals: no constant of ours is asked."""

import pytest
from google.protobuf.descriptor import Descriptor

from interop_api.e2ee.v1 import content_pb2, session_pb2
from interop_client.media import crypto
from interop_client.signal import InvalidContent, content, decode_message, encode_message
from interop_client.signal.errors import UnsupportedContent
from interop_protocol import certificates, franking, noise, sizes, xeddsa_keys

MEDIA = {"file_sha256": 4, "file_length": 5, "context_info": 17, "mimetype": 2}
NUMBERS = {
    "Message": {
        "conversation": 1, "image_message": 3, "extended_text_message": 6, "document_message": 7, "audio_message": 8,
        "video_message": 9, "protocol_message": 12, "message_context_info": 35, "reaction_message": 46,
    },
    "MessageContextInfo": {"message_secret": 3},
    "ProtocolMessage": {"key": 1, "type": 2, "edited_message": 14, "timestamp_ms": 15},
    "MessageKey": {"remote_jid": 1, "from_me": 2, "id": 3},
    "ContextInfo": {"stanza_id": 1, "participant": 2, "quoted_message": 3},
    "ExtendedTextMessage": {"text": 1, "context_info": 17},
    "ImageMessage": MEDIA | {"caption": 3, "media_key": 8, "file_enc_sha256": 9, "direct_path": 11},
    "DocumentMessage": {
        "mimetype": 2, "title": 3, "file_sha256": 4, "file_length": 5, "media_key": 7, "file_name": 8,
        "file_enc_sha256": 9, "direct_path": 10, "context_info": 17,
    },
    "AudioMessage": {
        "mimetype": 2, "file_sha256": 3, "file_length": 4, "seconds": 5, "ptt": 6, "media_key": 7,
        "file_enc_sha256": 8, "direct_path": 9, "context_info": 17,
    },
    "VideoMessage": {
        "mimetype": 2, "file_sha256": 3, "file_length": 4, "seconds": 5, "media_key": 6, "caption": 7,
        "file_enc_sha256": 11, "direct_path": 13, "context_info": 17,
    },
    "ReactionMessage": {"key": 1, "text": 2, "sender_timestamp_ms": 4},
}  # fmt: skip
SESSION_NUMBERS = {
    "SignalMessage": {"ratchet_key": 1, "counter": 2, "previous_counter": 3, "ciphertext": 4},
    "PreKeySignalMessage": {
        "pre_key_id": 1, "base_key": 2, "identity_key": 3, "message": 4, "registration_id": 5, "signed_pre_key_id": 6,
    },
}  # fmt: skip
CONSTANTS = [
    (content, {"MAX_PADDING_BYTES": 16, "STICKER_FIELD": 26, "EPHEMERAL_FIELD": 40, "MAX_TEXT_BYTES": 65_536}),
    (crypto, {"MEDIA_KEY_BYTES": 32, "MAC_BYTES": 10}),
    (certificates, {"ROOT_SERIAL": 0, "INTERMEDIATE_SERIAL": 1, "LEAF_SERIAL": 2}),
    (franking, {"MESSAGE_SECRET_BYTES": 32, "REPORTING_TOKEN_BYTES": 16}),
    (noise, {"PROLOGUE": b"WA\x06\x03"}),
    (xeddsa_keys, {"KEY_TYPE": 5, "NONCE_BYTES": 64}),
    (
        sizes,
        {
            "PROTOCOL_VERSION": 1, "UNNAMED_PROTOCOL_VERSION": 1,
            "PUBLIC_KEY_BYTES": 32, "PRIVATE_KEY_BYTES": 32, "SIGNATURE_BYTES": 64,
            "REGISTRATION_ID_BYTES": 4, "PREKEY_ID_BYTES": 3, "MIN_PREKEY_ID": 1, "MAX_PREKEY_ID": 16_777_215,
            "MAX_ONE_TIME_PREKEYS": 20_000, "MAX_DEVICES": 100, "MAX_BUNDLE_USERS": 256,
            "KEM_PUBLIC_KEY_BYTES": 1_568, "MAX_KEM_PREKEYS": 5_000, "KEY_DIGEST_BYTES": 20, "MAX_TOKEN_BYTES": 4_096,
            "MIN_INTEGRATOR": 1, "MAX_INTEGRATOR": 999, "MAX_JID_CHARACTERS": 128, "MAX_ACCOUNT_ID": 2**64 - 1,
            "JID_NUMBER_MIN": 10**13, "JID_NUMBER_MAX": 10**14 - 1, "MAX_RESOLVE_USERS": 256, "MAX_RETRIES": 5,
            "SHA256_BYTES": 32, "TAG_BYTES": 16, "MAX_ACK_IDS": 4_096, "MAX_RECEIPT_IDS": 256,
            "MAX_OFFLINE_BATCH": 200, "MAX_SERVER_FRAME_BYTES": 4_194_240, "MIN_CLIENT_FRAME_BYTES": 131_072,
            "MAX_FRAME_BYTES": 16_777_215,
        },
    ),
]  # fmt: skip


def numbers(messages: dict[str, Descriptor]) -> dict[str, dict[str, int]]:
    return {name: {field.name: field.number for field in each.fields} for name, each in messages.items()}


def test_contents_have_the_numbers_of_the_wire() -> None:
    """Every field of every content, and none beside them."""
    assert numbers(dict(content_pb2.DESCRIPTOR.message_types_by_name)) == NUMBERS


def test_session_messages_have_the_numbers_of_the_wire() -> None:
    """As the official library reads them."""
    assert numbers(dict(session_pb2.DESCRIPTOR.message_types_by_name)) == SESSION_NUMBERS


def test_changes_of_messages_have_the_numbers_of_the_wire() -> None:
    """Revoking is 0, disappearing messages 3, editing 14."""
    assert dict(content_pb2.ProtocolMessageType.items()) == {
        "PROTOCOL_MESSAGE_TYPE_REVOKE": 0,
        "PROTOCOL_MESSAGE_TYPE_EPHEMERAL_SETTING": 3,
        "PROTOCOL_MESSAGE_TYPE_MESSAGE_EDIT": 14,
    }


@pytest.mark.requirement("MSG-12")
@pytest.mark.parametrize(
    ("plaintext", "kind"),
    [
        (b"\xd2\x01\x00", "STICKER"),
        (b"\xc2\x02\x00", "DISAPPEARING_MESSAGES"),
        (b"\x62\x02\x10\x03", "DISAPPEARING_MESSAGES"),
    ],
    ids=["field 26", "field 40", "change 3"],
)
def test_what_third_party_chats_do_not_support_is_told_by_its_bytes(plaintext: bytes, kind: str) -> None:
    """A sticker, a disappearing message, and the setting of its timer; our own side does not send them."""
    message = decode_message(plaintext + b"\x01")
    assert content.unsupported_kind(message) == kind
    with pytest.raises(UnsupportedContent, match=kind):
        encode_message(message)


KEY_AND_PATH = {"media_key": b"k", "direct_path": "/v"}
EDIT = content_pb2.ProtocolMessage(type=content_pb2.PROTOCOL_MESSAGE_TYPE_MESSAGE_EDIT)
BYTES = [
    (content_pb2.Message(conversation="hi"), "0a026869"),
    (content_pb2.Message(extended_text_message=content_pb2.ExtendedTextMessage(text="hi")), "32040a026869"),
    (content_pb2.Message(image_message=content_pb2.ImageMessage(**KEY_AND_PATH)), "1a0742016b5a022f76"),
    (content_pb2.Message(document_message=content_pb2.DocumentMessage(**KEY_AND_PATH)), "3a073a016b52022f76"),
    (content_pb2.Message(audio_message=content_pb2.AudioMessage(**KEY_AND_PATH)), "42073a016b4a022f76"),
    (content_pb2.Message(video_message=content_pb2.VideoMessage(**KEY_AND_PATH)), "4a0732016b6a022f76"),
    (content_pb2.Message(reaction_message=content_pb2.ReactionMessage(text="+")), "f2020312012b"),
    (content_pb2.Message(protocol_message=EDIT), "6202100e"),
]


@pytest.mark.parametrize(("message", "expected"), BYTES, ids=[text for _, text in BYTES])
def test_the_bytes_of_contents(message: content_pb2.Message, expected: str) -> None:
    """As another implementation writes and reads them; the padding is its own length."""
    plaintext = encode_message(message, lambda count: bytes(count))
    assert plaintext == bytes.fromhex(expected) + b"\x01"
    assert decode_message(bytes.fromhex(expected) + b"\x02\x02") == message


def test_padding_ends_at_sixteen() -> None:
    """As observed: 16 bytes are padding, 17 are none."""
    assert decode_message(b"\x0a\x01a" + b"\x10" * 16).conversation == "a"
    with pytest.raises(InvalidContent):
        decode_message(b"\x0a\x01a" + b"\x11" * 17)


@pytest.mark.parametrize(("module", "constants"), CONSTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_constants_of_the_protocol(module: object, constants: dict[str, object]) -> None:
    """Tests that use them by name would follow them anywhere."""
    assert {name: getattr(module, name) for name in constants} == constants


def test_every_size_is_pinned() -> None:
    """A new one belongs into the list above."""
    [pinned] = [constants for module, constants in CONSTANTS if module is sizes]
    assert {name for name in vars(sizes) if name.isupper()} == set(pinned)
