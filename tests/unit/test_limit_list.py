"""Limits on the command line: each says what it is for, and what cannot be set is told in a sentence."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from interop_server.core.limit_facts import Scope
from interop_server.core.limits import EEA_CALLING_CODES, Limits, conflicts, names_of
from interop_server.limit_list import LimitEntry, LimitWrong, limits_from, list_limits

KNOWN = Path(__file__).with_name("limits.toml")


@pytest.mark.requirement("SIM-07")
def test_no_limit_and_no_range_changes_by_mistake() -> None:
    """What a limit is unless it is set, and what it can be set to, stands a second time in limits.toml (SIM-07)."""
    found = {}
    for entry in list_limits():
        has_range = isinstance(entry.value, int | float) and not isinstance(entry.value, bool)
        found[entry.name] = [entry.value, *((entry.about.least, entry.about.most) if has_range else ())]
    assert found.pop("eligible_calling_codes") == [EEA_CALLING_CODES]
    known = tomllib.loads(KNOWN.read_text())
    del known["scopes"]
    assert found == known


@pytest.mark.requirement("SIM-07")
def test_no_limit_bounds_the_sum_of_something_else_by_mistake() -> None:
    """What guards people holds for a world, what guards a node for that node: these stand in limits.toml, too."""
    known = tomllib.loads(KNOWN.read_text())["scopes"]
    scopes: dict[str, list[str]] = {scope: [] for scope in Scope}
    for entry in list_limits():
        scopes[entry.about.scope].append(entry.name)
    assert scopes.pop(Scope.EACH) and scopes == known


@pytest.mark.requirement("SIM-07")
def test_every_limit_says_what_it_is_for_and_where_it_comes_from() -> None:
    """By its requirement, and whether the value is documented, observed or the simulator's own policy (SIM-07)."""
    entries = list_limits()
    assert [entry.name for entry in entries] == [field.name for field in fields(Limits)]
    for entry in entries:
        assert entry.purpose, entry.name
        assert re.search(r"policy|documented|observed", entry.about.origin), f"{entry.name}: {entry.purpose}"
        assert entry.about.purpose, entry.name
        assert entry.value == getattr(Limits(), entry.name)


def test_limits_are_set_by_name() -> None:
    """Whole numbers, rates, texts and lists; the others stay."""
    limits = limits_from(
        ["resolve_burst=7", "resolve_per_second=0.5", "token_audience=me", "eligible_calling_codes=1, 44"]
    )
    assert (limits.resolve_burst, limits.resolve_per_second, limits.token_audience) == (7, 0.5, "me")
    assert limits.eligible_calling_codes == ("1", "44")
    assert limits.mailbox_days == Limits().mailbox_days
    assert limits_from([]) == Limits()


@pytest.mark.parametrize(
    "setting",
    ["", "resolve_burst", "=1", "nothing=1", "mailbox_ms=1", "__class__=1", "resolve_burst=", "resolve_burst=1.5",
     "resolve_burst=-1", "resolve_per_second=nan", "resolve_per_second=inf", "resolve_per_second=0",
     "resolve_burst=1e99", "resolve_burst=5_0", "resolve_burst=\u0661", "resolve_burst= 5", "token_audience=",
     "eligible_calling_codes=", "eligible_calling_codes=1,x", "eligible_calling_codes=0",
     "eligible_calling_codes=1,4444", f"token_audience={'x' * 256}",
     "mailbox_days=36501", "silent_seconds=99999999999"],
)  # fmt: skip
def test_what_cannot_be_set_is_told(setting: str) -> None:
    """In a sentence that says what to write instead."""
    with pytest.raises(LimitWrong, match=r"^.+[.]$"):
        limits_from([setting])


@pytest.mark.parametrize("entry", list_limits(), ids=lambda entry: entry.name)
def test_a_default_lies_within_its_range(entry: LimitEntry) -> None:
    """And the ends of the range can be set, what lies beyond them cannot (SIM-07)."""
    if isinstance(entry.value, bool) or not isinstance(entry.value, int | float):
        return
    kind, about = type(entry.value), entry.about
    assert about.least <= entry.value <= about.most
    for beyond in (about.least - 1, about.most * 2):
        with pytest.raises(LimitWrong, match=entry.name):
            limits_from([f"{entry.name}={kind(beyond)}"])


AT_ODDS: list[tuple[dict[str, int], dict[str, int], str]] = [
    ({"max_frame_bytes": 2_097_152, "max_ciphertext_bytes": 2_096_640}, {"max_ciphertext_bytes": 2_096_641},
     "max_frame_bytes"),
    ({"max_frame_bytes": 2_097_152, "waiting_bytes": 2_097_152}, {"waiting_bytes": 2_097_151}, "max_frame_bytes"),
    ({"max_blob_bytes": 1 << 20, "upload_burst": 1 << 20}, {"max_blob_bytes": 1_048_577}, "max_blob_bytes"),
    ({"keepalive_seconds": 179, "silent_seconds": 180}, {"keepalive_seconds": 180}, "silent_seconds"),
    ({"mailbox_days": 60, "sent_message_days": 60}, {"mailbox_days": 61}, "mailbox_days"),
    ({"report_days": 60, "sent_message_days": 60}, {"report_days": 61}, "report_days"),
    ({"media_days": 60, "sent_message_days": 60}, {"media_days": 61}, "media_days"),
    ({"max_mailbox_bytes": 98_304}, {"max_mailbox_bytes": 98_303}, "max_ciphertext_bytes"),
    ({"repeat_bytes": 2_097_152, "repeat_total_bytes": 2_097_152}, {"repeat_total_bytes": 2_097_151}, "repeat_bytes"),
    ({"connected_note_seconds": 86_400, "unenlist_days": 1}, {"connected_note_seconds": 86_401}, "unenlist_days"),
    ({"remembered_prekeys": 20_000, "stored_prekeys": 20_000}, {"remembered_prekeys": 19_999}, "remembered_prekeys"),
    ({"temporary_ban_hours": 438_000, "temporary_bans": 2}, {"temporary_ban_hours": 438_001}, "temporary_bans"),
    ({"trusted_bucket_days": 365, "trusted_buckets": 100}, {"trusted_buckets": 101}, "trusted_buckets"),
]  # fmt: skip
"""Limits that can just work together, a change with which they cannot, and what the sentence names."""


@pytest.mark.parametrize(("fine", "change", "named"), AT_ODDS)
def test_limits_that_cannot_work_together_are_told(fine: dict[str, int], change: dict[str, int], named: str) -> None:
    """In a sentence that names both; each alone would be fine, and one less would be (SIM-07)."""
    assert conflicts(limits_from([f"{name}={value}" for name, value in fine.items()])) == []
    with pytest.raises(LimitWrong, match=named):
        limits_from([f"{name}={value}" for name, value in (fine | change).items()])


def test_all_limits_that_cannot_work_together_are_told_of() -> None:
    """Each in a sentence of its own."""
    wrong = {name: value for fine, change, _ in AT_ODDS for name, value in (fine | change).items()}
    sentences = conflicts(Limits(**wrong))  # type: ignore[arg-type]
    assert len(sentences) == len(AT_ODDS)
    assert all(name in sentence for (*_, name), sentence in zip(AT_ODDS, sentences, strict=True))


def test_a_mailbox_that_is_always_full_can_be_had() -> None:
    """For a client's test of what it does then."""
    assert conflicts(limits_from(["max_mailbox_bytes=0"])) == []


@pytest.mark.parametrize("bans", [0, 1])
def test_the_first_ban_is_doubled_by_nobody(bans: int) -> None:
    """It may be as long as hours can be."""
    assert conflicts(Limits(temporary_ban_hours=876_000, temporary_bans=bans)) == []


@pytest.mark.requirement("SIM-07")
def test_every_rate_says_whose_sum_it_is() -> None:
    """A rate counts something, at one node or over all, burst and rate alike; so does what is bounded at once."""
    entries = {entry.name: entry.about.scope for entry in list_limits()}
    rates = [name.removesuffix("_burst") for name in entries if name.endswith("_burst")]
    assert len(rates) == sum(name.endswith("_per_second") for name in entries) > 10
    for rate in rates:
        assert entries[f"{rate}_burst"] is entries[f"{rate}_per_second"] is not Scope.EACH, rate
    assert {name for name in entries if name.startswith(("account_", "address_"))} <= set(names_of(Scope.NODE))
    told = {scope: {entry.purpose for entry in list_limits() if entry.about.scope is scope} for scope in Scope}
    assert all("over all nodes" in purpose for purpose in told[Scope.WORLD])
    assert all("each node" in purpose for purpose in told[Scope.NODE])
    assert not any(" node" in purpose for purpose in told[Scope.EACH])
