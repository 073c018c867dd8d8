"""A client in another language, written from the protos and docs/conformance.md alone, up to the second milestone."""

import shutil
from pathlib import Path

import pytest

from tests.conformance.kit import conformance

FOLDER = Path(__file__).with_name("node_driver")
NODE = shutil.which("node")
HOLD = {
    "CHN-01.connects",
    "CHN-01.ends-its-connection",
    "CHN-01.new-keys-for-each-handshake",
    "CHN-06.login-names-the-account",
    "CHN-07.one-key-over-a-restart",
    "CHN-10.connected-once-answered",
    "CHN-10.stays-away-after-a-ban",
    "CHN-10.waits-as-told",
    "CHN-11.stays-away-when-replaced",
    "CHN-12.keeps-alive",
    "ENL-07.asks-for-a-token",
    "ENL-07.refused-login-is-told",
    "ENL-07.token-at-each-connection",
    "ENL-08.enlists",
    "ENL-11.not-enlisted-is-not-connected",
    "ENL-11.refusal-is-told",
    "ENL-14.new-identity-after-installing-anew",
    "ENL-15.too-old-is-told",
    "KEY-09.refills",
    "KEY-09.refills-once",
    "KEY-10.answers-digest-request",
    "OPT-08.finds-a-number",
    "OPT-09.limit-on-look-ups-is-told",
    "OPT-09.not-reachable-is-told",
    "PRX-01.says-direct",
}
"""What does not need Signal sessions, which this client does not have."""


def test_the_driver_is_short() -> None:
    """As short as is promised to whoever has a client already."""
    assert len((FOLDER / "driver.mjs").read_text().splitlines()) < 200


@pytest.mark.timeout(180)
@pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules").is_dir(),
    reason="Node.js 20 is not there, or `npm ci` was not run in tests/conformance/node_driver",
)
def test_a_client_in_plain_node_gets_its_verdict(tmp_path: Path) -> None:
    """All that rests on no session holds, and the rest is told as what it lacks; nothing is the kit's fault."""
    arguments = ("--command", f"{NODE} {FOLDER / 'driver.mjs'}")
    only = [word for name in sorted(HOLD) for word in ("--only", name)]
    outcome = conformance(tmp_path, "client", *arguments, *only)
    bad = {name: verdict for name, verdict in outcome.verdicts().items() if verdict != "pass"}
    assert (outcome.status, bad) == (0, {}), outcome.stdout
    assert list(outcome.folder.iterdir()) == []
