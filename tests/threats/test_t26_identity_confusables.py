"""T26: somebody enlists under an identifier that looks like another person's, or that the server takes for it."""

import pytest

from interop_client.messaging.events import TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T26"), pytest.mark.requirement("SIM-06")]

HIDDEN = [
    *"\0\x1b\x7f\x85",
    *"\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u3164\ufe0f\U000e0061",
    *"\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]
LOOKALIKES = [
    "\uff4dax",
    "m\U0001d41ax",
    "ma\u0445\u05d0",
    "\ufb01n",
    "ma\u00b2",
    "\u0301max",
    "max\ue000",
    "max\u0378",
]


@pytest.mark.requirement("OPT-08", "ENL-13")
async def test_nobody_takes_over_whom_folding_would_make_the_same(world: World, attack: Attack) -> None:
    """The second keeps the first's keys and connection as they are, and gets an account of their own."""
    alice = await world.whatsapp(options=QUIET)
    attack.tries("Enlisting as strasse, so as to get the account of straße; the same with Maße and masse")
    for victim_name, name in (("straße", "strasse"), ("Maße", "masse"), ("\u0131rem", "irem")):
        victim, mallory = await world.third_party(victim_name, QUIET), await world.third_party(name, QUIET)
        assert victim.jid != mallory.jid
        await victim.ping()
        assert await alice.resolve(victim_name, world.integrator) == victim.jid
        assert await alice.resolve(name, world.integrator) == mallory.jid
        await alice.send_text(victim.jid, "For you alone")
        assert (await victim.wait_for(TextReceived)).text == "For you alone"
    attack.holds("They are different people with JIDs of their own; the first one's keys and connection stay")


@pytest.mark.requirement("OPT-08", "ENL-07")
async def test_nothing_hidden_makes_another_identifier(world: World, attack: Attack) -> None:
    """Controls, marks of direction, characters of no width, wide and small forms, half letters."""
    await world.third_party("max", QUIET)
    stranger = world.device("stranger", QUIET)
    before = (await world.stored())["account"]
    attack.tries(
        f"Enlisting as max with one of {len(HIDDEN)} invisible characters in it, or in letters that look alike"
    )
    for subject in (*(f"ma{hidden}x" for hidden in HIDDEN), *LOOKALIKES):
        reason = await refused(stranger.enlist(world.partner.issue_token("stranger", sub=subject)))
        assert reason == "TOKEN_CLAIMS_INVALID", ascii(subject)
    assert (await world.stored())["account"] == before
    attack.holds("TOKEN_CLAIMS_INVALID for each, and no account")


@pytest.mark.requirement("OPT-08", "LIF-01")
async def test_one_name_in_two_forms_is_one_account(world: World, attack: Attack) -> None:
    """Composed or not, in whatever case: else a second account would pass for the first."""
    alice = await world.whatsapp(options=QUIET)
    attack.tries("Enlisting as René a second time: decomposed, and in capital letters")
    jids = set()
    for form in ("Ren\u00e9", "Rene\u0301", "REN\u00c9"):
        device = world.device(form, QUIET)
        jids.add(await device.enlist(world.partner.issue_token(form)))
        assert await alice.resolve(form, world.integrator) in jids
    assert len(jids) == 1
    attack.holds("There is one account, which any form finds")
