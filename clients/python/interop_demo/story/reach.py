"""Step: a third-party user pings a WhatsApp user who has not opted in; knows nothing of opting in."""

from interop_api.admin.v1alpha1.journal_pb2 import JOURNAL_OUTCOME_DROPPED
from interop_demo.stage import ALICE_NUMBER, INTEGRATOR, MESSENGER, Stage, expect

_DISPLAY_NAME = "Bob from Pigeon"
_NOBODYS_NUMBER = "+491700000000"


async def ping(stage: Stage) -> str:
    """Lets Bob ping Alice, then a number that does not exist, then Alice once more."""
    alice, bob = stage.alice, stage.bob
    await bob.ask("ping_reachability", phone_number=ALICE_NUMBER, display_name=_DISPLAY_NAME)
    stage.timeline.tell(bob, f"pings {ALICE_NUMBER}: he would like to be able to write to her")
    told = (await alice.ask("wait_for_reachability_ping"))["told"]
    expected = {"integrator": INTEGRATOR, "partner_name": MESSENGER, "display_name": _DISPLAY_NAME}
    expect(told == expected, f"Alice was told {told}")
    stage.timeline.tell(alice, f"is told that “{_DISPLAY_NAME}” of {MESSENGER} would like to write: no message, no key")
    expect((await alice.ask("list_chats"))["chats"] == [], "the ping made a chat")
    for number in (_NOBODYS_NUMBER, ALICE_NUMBER):
        await bob.ask("ping_reachability", phone_number=number, display_name=_DISPLAY_NAME)
    stage.timeline.tell(
        bob, f"pings {_NOBODYS_NUMBER}, which is unused, and Alice again: both are accepted like the first"
    )
    await stage.settle()
    causes = await _causes(stage)
    stage.timeline.decide(f"has dropped both, and tells the operator alone why: {'; '.join(causes)}")
    return "the partner and a display name reached Alice, nothing else; a dropped ping is answered like any other"


async def _causes(stage: Stage) -> list[str]:
    async with stage.admin(stage.bob) as admin:
        dropped = admin.read_journal(actor=stage.bob.jid, action="reachability_ping", outcome=JOURNAL_OUTCOME_DROPPED)
        causes = [response.entry.cause async for response in dropped]
    expect(len(causes) == 2 and all(causes), f"the journal has {causes}")
    return causes
