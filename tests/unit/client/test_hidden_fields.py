"""What shows a secret to whoever prints an object: nothing does, field by field."""

import dataclasses
import importlib
import inspect
import pkgutil

import interop_client

HIDDEN = {
    "connection.channel.ChannelKeys": {"auth_private_key"},
    "connection.proxy_frames.Hello": {"token"},
    "media.crypto.MediaKeys": {"cipher_key", "iv", "mac_key"},
    "media.reference.MediaReference": {"media_key"},
    "media.upload.Blob": {"media_key"},
    "messaging.events.ChangeRefused": {"evidence"},
    "messaging.events.DeletionReceived": {"evidence"},
    "messaging.events.EditReceived": {"evidence"},
    "messaging.events.Evidence": {"message_secret", "plaintext"},
    "messaging.events.Incoming": {"evidence"},
    "messaging.events.MediaReceived": {"evidence"},
    "messaging.events.ReactionReceived": {"evidence"},
    "messaging.events.TextReceived": {"evidence"},
    "messaging.events.Unsupported": {"evidence"},
    "messaging.outgoing.SentMessage": {"content"},
    "signal.chain.ChainKey": {"key"},
    "signal.chain.ChainStep": {"secret", "skipped"},
    "signal.chain.MessageKeys": {"cipher_key", "iv", "mac_key"},
    "signal.chain.ReceivingChain": {"skipped"},
    "signal.kem.KemKeys": {"last_resort", "one_time"},
    "signal.keys.KeyPair": {"_x25519", "private_key"},
    "signal.messages.Authentication": {"mac_key"},
    "signal.ratchet.DoubleRatchet": {"root_key"},
    "signal.ratchet.ReceivingStep": {"root_key"},
    "signal.store.SignalState": {"entropy", "one_time_prekeys"},
    "state.ClientState": {"auth_private_key", "signal"},
}
"""By class: the fields that its text leaves out. A field that comes to hold a secret belongs here."""


def hidden() -> dict[str, set[str]]:
    """What the text of each dataclass of the SDK leaves out."""
    found = {}
    for module in pkgutil.walk_packages(interop_client.__path__, "interop_client."):
        for name, member in inspect.getmembers(importlib.import_module(module.name), dataclasses.is_dataclass):
            if inspect.isclass(member) and member.__module__ == module.name:
                fields = {field.name for field in dataclasses.fields(member) if not field.repr}
                found[f"{module.name.removeprefix('interop_client.')}.{name}"] = fields
    return {name: fields for name, fields in found.items() if fields}


def test_no_text_of_an_object_holds_a_secret() -> None:
    """Keys, plaintexts, tokens and sources of randomness stay out of logs and tracebacks."""
    found = hidden()
    assert {name: found.get(name, set()) & fields for name, fields in HIDDEN.items()} == HIDDEN
