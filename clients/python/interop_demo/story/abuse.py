"""Step: a WhatsApp user reports a sender, and the server bans them for a time; knows nothing of blocking."""

from interop_demo.people import Refused
from interop_demo.stage import MESSENGER, Stage, expect

_BLOCKED_OR_REPORTED_BY_MANY = 102


async def report_and_ban(stage: Stage) -> str:
    """Lets Alice report Carol's text, which is enough for a ban here, and Carol try to connect again."""
    alice, carol = stage.alice, stage.carol
    report_id = (await alice.ask("report", jid=carol.jid, message_id=stage.carols_text))["report_id"]
    stage.timeline.tell(alice, f"reports Carol's text and reveals what it says: report {report_id}")
    lost = await carol.ask("wait_for_loss")
    expect(lost["reason"] == "TEMPORARILY_BANNED", f"Carol's connection ended with {lost['reason']}")
    stage.timeline.decide(
        "verifies that Carol wrote it, keeps nothing of it, and bans her for a time: this server is set to one report"
    )
    refused = await stage.expect_refusal("TEMPORARILY_BANNED", carol, "connect", simulator=stage.place_of(carol))
    _check_ban(refused)
    stage.timeline.tell(carol, f"tries to connect again through {MESSENGER}'s proxy")
    stage.timeline.decide(f"{refused}, code {refused.code}, sub-code {refused.sub_code}")
    async with stage.admin() as admin:
        standing = await admin.get_standing(carol.jid)
    expect(len(standing.sanctions) >= 1, "no sanction stands against Carol")
    return (
        f"login refused with {refused.code} and {refused.sub_code}, for {refused.expires_after_seconds:,} s; "
        "the report counted because its reporting token verified"
    )


def _check_ban(refused: Refused) -> None:
    expect((refused.code, refused.sub_code) == (402, _BLOCKED_OR_REPORTED_BY_MANY), f"the codes are {refused}")
    expect(bool(refused.expires_after_seconds), "the ban does not say when it ends")
