"""A retry receipt that cannot be taken says which of its fields is wrong, by the name that it has on the wire."""

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import RetryKeys, RetryReason, RetryReceipt
from interop_server.core.messaging.receipts import check_retry
from interop_server.core.model import OneTimePreKey
from tests.unit.core.world import ClientKeys, derived

pytestmark = pytest.mark.requirement("RCP-03", "KEY-13")

KEYS = ClientKeys(7)
SIGNED = KEYS.signed_prekey(3)
GOOD = RetryKeys(KEYS.published.identity_key, SIGNED, OneTimePreKey(5, derived("fresh")))
SHORT = bytes(31)
CASES = [
    (GOOD._replace(identity_key=SHORT), Reason.KEY_MALFORMED, "identity_key"),
    (GOOD._replace(signed_prekey=SIGNED._replace(key_id=0)), Reason.KEY_MALFORMED, "signed_prekey_id"),
    (GOOD._replace(signed_prekey=SIGNED._replace(public_key=SHORT)), Reason.KEY_MALFORMED, "signed_prekey"),
    (GOOD._replace(signed_prekey=SIGNED._replace(signature=SHORT)), Reason.KEY_MALFORMED, "signed_prekey_signature"),
    (
        GOOD._replace(signed_prekey=SIGNED._replace(signature=bytes(64))),
        Reason.PREKEY_SIGNATURE_INVALID,
        "signed_prekey_signature",
    ),
    (GOOD._replace(one_time_prekey=OneTimePreKey(0, derived("fresh"))), Reason.KEY_MALFORMED, "one_time_prekey_id"),
    (GOOD._replace(one_time_prekey=OneTimePreKey(5, SHORT)), Reason.KEY_MALFORMED, "one_time_prekey"),
]


def retry(**changes: object) -> RetryReceipt:
    receipt = RetryReceipt("m1", 2, RetryReason.BAD_MAC, KEYS.published.registration_id, GOOD, None)
    return receipt._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("keys", "reason", "field"), CASES, ids=[f"{name}-{why.name}" for _, why, name in CASES])
def test_a_wrong_key_is_named(keys: RetryKeys, reason: Reason, field: str) -> None:
    """Each part of the bundle on its own."""
    with pytest.raises(Refusal) as caught:
        check_retry(retry(keys=keys))
    assert caught.value.reason is reason
    assert [violation.field for violation in caught.value.violations] == [f"retry_receipt.keys.{field}"]


@pytest.mark.parametrize(
    ("receipt", "field"),
    [
        (retry(keys=None), "retry_receipt.keys"),
        (retry(media_status=403), "retry_receipt.media_status"),
        (retry(media_status=0), "retry_receipt.media_status"),
    ],
)
def test_what_is_missing_or_unknown_is_named(receipt: RetryReceipt, field: str) -> None:
    """Keys from the second retry on; a status other than the two of a blob that is gone."""
    with pytest.raises(Refusal) as caught:
        check_retry(receipt)
    assert caught.value.reason is Reason.STANZA_MALFORMED
    assert [violation.field for violation in caught.value.violations] == [field]


def test_what_can_be_taken() -> None:
    """With keys; without them the first time, and for a blob that is gone."""
    for receipt in (
        retry(),
        retry(retry_count=1, keys=None),
        *(retry(keys=None, media_status=status) for status in (404, 410)),
    ):
        check_retry(receipt)
