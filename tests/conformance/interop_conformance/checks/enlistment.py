"""ENL: who a user is, and how that is proved."""

import hashlib

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_conformance.check import Level, NotSo, check
from interop_conformance.device import refused, told
from interop_conformance.stage import Stage

ENLISTS = "ENL-08.enlists"


def digest_of(token: str) -> str:
    """Returns what the wire's record says of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


@check(ENLISTS, Level.MUST, "The client enlists its user with the documented fields.", milestone=1)
async def enlists(stage: Stage) -> None:
    """The server has taken the enlistment, and the client says the JID that the server gave."""
    bob = await stage.device()
    jid = await bob.enlist()
    taken = stage.decisions(jid, "http.interop_reg") + stage.decisions(jid, "EnlistmentService.Enlist")
    if not taken:
        taken = [
            await stage.decides(jid, "", lambda entry: entry.action in ("http.interop_reg", "EnlistmentService.Enlist"))
        ]
    stage.expect(jid.startswith(f"{stage.integrator}-"), f"a JID of messenger {stage.integrator}", jid)


@check(
    "ENL-07.token-at-each-connection",
    Level.MUST,
    "Each connection carries a token of its own.",
    milestone=1,
    after=(ENLISTS,),
)
async def token_at_each_connection(stage: Stage) -> None:
    """The tokens in two logins are the two that the client was given."""
    bob = await stage.device()
    await bob.enlist()
    given = []
    for number in range(2):
        await bob.connect()
        given.append(digest_of(bob.tokens[-1]))
        await stage.sends(bob.jid, "login", what=f"login {number + 1}", count=number + 1)
    logins = stage.sent(bob.jid, "login")
    carried = [login.fields.get("interop_data", {}).get("token", {}).get("sha256") for login in logins]
    stage.expect(carried == given, "the tokens that the client was given, one in each login", "others, or none")


@check(
    "ENL-11.refusal-is-told",
    Level.MUST,
    "When the server does not enlist a user, the client says so.",
    milestone=1,
)
async def refusal_is_told(stage: Stage) -> None:
    """A token that has expired is refused."""
    bob = await stage.device()
    result = await bob.ask(enlist=pb.EnlistCommand(token=bob.token(exp=1)))
    if not refused(result):
        raise NotSo("`enlist` is refused", told(result))


@check(
    "ENL-11.not-enlisted-is-not-connected",
    Level.MUST,
    "Who was not enlisted is not connected, until a good token enlists them.",
    milestone=1,
    after=(ENLISTS,),
)
async def not_enlisted_is_not_connected(stage: Stage) -> None:
    """A token of another messenger is refused, so is the connection; then a token of its own is taken."""
    bob = await stage.device()
    result = await bob.ask(enlist=pb.EnlistCommand(token=bob.token(iss="https://elsewhere.example")))
    stage.expect(refused(result), "`enlist` is refused", told(result))
    result = await bob.ask(connect=pb.ConnectCommand(token=bob.token()))
    stage.expect(result.WhichOneof("outcome") != "done", "`connect` fails", "it succeeds")
    await bob.enlist()
    await bob.connect()
