"""Which replay is for which file."""

from collections.abc import Callable

from tests.vectors.documents import Vector
from tests.vectors.replays import channel, contents, enlistment, keys, media, sessions

REPLAYS: dict[str, Callable[[Vector], None]] = {
    "base64url": enlistment.base64url,
    "blocklist_digest": keys.blocklist_hashed,
    "bundle_refusals": sessions.refused_bundle,
    "certificates": channel.certificates,
    "content_padding": contents.padding,
    "contents": contents.content,
    "curve_keys": keys.curve_key,
    "enlistment_answers": enlistment.answer,
    "enlistment_forms": enlistment.form,
    "frames": channel.frame,
    "jids": keys.jid,
    "key_digest": keys.keys_hashed,
    "media": media.blob,
    "media_ranges": media.part,
    "media_refusals": media.refused_blob,
    "message_refusals": contents.unreadable_message,
    "noise_handshake": channel.handshake,
    "noise_refusals": channel.refused_handshake,
    "phash": keys.devices_hashed,
    "prekey_signatures": keys.prekey_signature,
    "ratchet": sessions.ratchet_step,
    "refusals": channel.refusal,
    "reporting_tokens": contents.committed,
    "tokens": enlistment.token,
    "x3dh": sessions.agreement,
    "xeddsa": keys.xeddsa,
}
"""Each takes a vector and fails where the code does not do what it shows."""
