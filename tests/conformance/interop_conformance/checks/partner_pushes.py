"""LIF-01, LIF-02: the pushes by which WhatsApp tells a messenger that a user should connect."""

import asyncio
import json

from interop_conformance.check import Level, Subject, check
from interop_conformance.checks.partner_tokens import LOGS_IN
from interop_conformance.partner_stage import PREKEYS, PartnerStage
from interop_conformance.probe import Answer, Unanswered
from interop_conformance.whatsapp_keys import ELSEWHERE_PATH

ACCEPTED = "LIF-01.push-is-accepted"
BURST = 50
LARGE_BYTES = 1 << 20
NOBODY = "kit-nobody-9f3a"
_BUSY = (429, 503)


async def require_refused(stage: PartnerStage, what: str, token: str | None) -> None:
    """Posts a push that WhatsApp would never send; it must be refused, with a status that says so.

    Raises:
        NotSo: It is accepted, or the server fails.
    """
    answer = await stage.push(token)
    stage.expect(answer.is_refusal, f"status 401 or another of 400 to 499 for a push {what}", answer)


async def require_accepted(stage: PartnerStage, token: str | None = None, user: str = "") -> None:
    """Posts a push as WhatsApp sends them.

    Raises:
        NotSo: It is not accepted.
    """
    answer = await stage.push(token or stage.pushes.good(), user)
    stage.expect(answer.status == 200, "status 200 for a push that WhatsApp sends", answer)


@check(
    ACCEPTED,
    Level.MUST,
    "A push of WhatsApp is answered with status 200.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
)
async def is_accepted(stage: PartnerStage) -> None:
    """It names a user and nothing else, with a token of WhatsApp to the messenger's base URL."""
    await require_accepted(stage)


@check(
    "LIF-01.push-comes-for-who-is-offline",
    Level.MUST,
    "A message for a user who is offline makes a push, and the messenger accepts it.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED, LOGS_IN),
    seconds=60.0,
)
async def comes_for_who_is_offline(stage: PartnerStage) -> None:
    """The simulator itself pushes, and counts what came of it."""
    bob, alice = await stage.enlisted(), await stage.alice()
    await stage.does("a user logs in", bob.connect())
    await stage.does("a user publishes prekeys", bob.publish_prekeys(PREKEYS))
    await bob.close()
    await stage.leaves(bob.jid)
    sent, failed = await stage.counted("push_sent"), await stage.counted("push_failed")
    await alice.send(bob.jid, "Are you there?")

    async def is_settled() -> bool:
        return await stage.counted("push_sent") > sent or await stage.counted("push_failed") > failed

    await stage.until(is_settled, "the simulator's push is answered with status 200", "it was not, in time")
    stage.expect(await stage.counted("push_sent") > sent, "the push is accepted", "it failed")


@check(
    "LIF-02.push-retry-is-accepted",
    Level.SHOULD,
    "A push that comes again, as it was, is accepted again: WhatsApp tries until it has seen the answer.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def retry_is_accepted(stage: PartnerStage) -> None:
    """The same token and the same body."""
    token = stage.pushes.good()
    for _ in range(3):
        await require_accepted(stage, token)


@check(
    "LIF-01.push-without-token-is-refused",
    Level.MUST,
    "A push without a token of WhatsApp is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def without_token_is_refused(stage: PartnerStage) -> None:
    """No header, another scheme, and what is no token."""
    await require_refused(stage, "without a token", None)
    await require_refused(stage, "with a token that is none", "not-a-token")
    await require_refused(stage, "with empty segments", "..")
    headers = {"Content-Type": "application/json", "Authorization": "Basic V0hBVFNBUFA6eA=="}
    answer = await stage.push(None, headers=headers)
    stage.expect(answer.is_refusal, "a refusal of another scheme than Bearer", answer)


@check(
    "LIF-01.push-unsigned-is-refused",
    Level.MUST,
    "A push whose token has no signature is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def unsigned_is_refused(stage: PartnerStage) -> None:
    """`alg` none in some spellings, and RS256 with an empty signature."""
    for algorithm in ("none", "None", "NONE", "RS256"):
        await require_refused(stage, f"with `alg` {algorithm} and no signature", stage.pushes.unsigned(algorithm))


@check(
    "LIF-01.push-of-shared-secret-is-refused",
    Level.MUST,
    "A push whose token is signed with WhatsApp's public key as a shared secret is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def of_shared_secret_is_refused(stage: PartnerStage) -> None:
    """`alg` HS256: everybody has that secret."""
    await require_refused(stage, "with `alg` HS256", stage.pushes.of_shared_secret())


@check(
    "LIF-01.push-of-unknown-key-is-refused",
    Level.MUST,
    "A push whose token is signed with a key that WhatsApp does not publish is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def of_unknown_key_is_refused(stage: PartnerStage) -> None:
    """Once under its own name, once under the name of a key that is published."""
    await require_refused(stage, "under an unknown key", stage.pushes.of_unknown_key())
    await require_refused(stage, "under another key than it names", stage.pushes.of_wrong_key())
    await require_accepted(stage)


@check(
    "LIF-01.push-with-own-key-is-refused",
    Level.MUST,
    "A push whose token brings the key with it, or says where to fetch it, is refused, and nothing is fetched.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def with_own_key_is_refused(stage: PartnerStage) -> None:
    """`jwk` and `jku` in the header: whoever follows them lets everybody push, and fetches what strangers want."""
    await require_refused(stage, "with its own key", stage.pushes.with_own_key())
    before = stage.key_place.asked_elsewhere
    url = stage.key_place.base_url + ELSEWHERE_PATH
    await require_refused(stage, "that says where its key is", stage.pushes.with_key_elsewhere(url))
    stage.expect(stage.key_place.asked_elsewhere == before, "nobody asks where `jku` leads", "the server did")


@check(
    "LIF-01.push-altered-is-refused",
    Level.MUST,
    "A push whose token was changed after it was signed is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def altered_is_refused(stage: PartnerStage) -> None:
    """Other claims under a signature of WhatsApp."""
    await require_refused(stage, "with altered claims", stage.pushes.altered())


@check(
    "LIF-01.push-to-another-is-refused",
    Level.MUST,
    "A push that WhatsApp signed for another messenger is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def to_another_is_refused(stage: PartnerStage) -> None:
    """Another `aud`, and none."""
    await require_refused(stage, "to another messenger", stage.pushes.good(aud="https://another.example"))
    await require_refused(stage, "to nobody", stage.pushes.good(aud=None))


@check(
    "LIF-01.push-of-another-issuer-is-refused",
    Level.MUST,
    "A push whose token was not issued by WHATSAPP is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def of_another_issuer_is_refused(stage: PartnerStage) -> None:
    """Another `iss`, and none."""
    await require_refused(stage, "of another issuer", stage.pushes.good(iss=stage.facts.issuer))
    await require_refused(stage, "of nobody", stage.pushes.good(iss=None))


@check(
    "LIF-01.push-expired-is-refused",
    Level.MUST,
    "A push whose token has ended is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def expired_is_refused(stage: PartnerStage) -> None:
    """It ended an hour ago: more than clocks differ."""
    await require_refused(stage, "with an expired token", stage.pushes.expired())


@check(
    "LIF-02.push-without-end-is-refused",
    Level.SHOULD,
    "A push whose token does not say when it ends is refused.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def without_end_is_refused(stage: PartnerStage) -> None:
    """WhatsApp's live an hour, and say so."""
    await require_refused(stage, "with a token that never ends", stage.pushes.good(exp=None))


@check(
    "LIF-02.push-without-kid-is-refused",
    Level.SHOULD,
    "A push whose token names no key is refused, even when only one key could be meant.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def without_kid_is_refused(stage: PartnerStage) -> None:
    """WhatsApp's tokens name theirs."""
    await require_refused(stage, "whose token names no key", stage.pushes.without_kid())


@check(
    "LIF-02.push-too-long-is-refused",
    Level.SHOULD,
    "A push with a very long token is refused, and so is one with a very long body.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def too_long_is_refused(stage: PartnerStage) -> None:
    """A server may hang up on either; afterwards it takes pushes as before."""
    for request in ({"token": "A" * 6_000}, {"token": stage.pushes.good(), "body": b'{"to":"' + b"a" * LARGE_BYTES}):
        try:
            answer: Answer | None = await stage.push(**request)
        except Unanswered:
            answer = None
        stage.expect(answer is None or answer.is_refusal, "a refusal of what is far too long", answer)
    await require_accepted(stage)


@check(
    "LIF-02.push-malformed-is-refused",
    Level.SHOULD,
    "A push whose body names no user is refused as a wrong request, and harms nothing.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def malformed_is_refused(stage: PartnerStage) -> None:
    """No JSON, no object, no `to`, and a `to` that is no text."""
    for body in (b"", b"{", b"[]", b"{}", b'{"to": 7}', b'{"to": null}', b"\xff\xfe", b"[" * 5_000):
        answer = await stage.push(stage.pushes.good(), body=body)
        stage.expect(answer.is_refusal, f"a refusal of the body {body[:20]!r}", answer)
    await require_accepted(stage)


@check(
    "LIF-02.push-with-more-fields-is-answered",
    Level.SHOULD,
    "A push with fields that are not documented is accepted or refused; the server does not fail.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def with_more_fields_is_answered(stage: PartnerStage) -> None:
    """Either is right: WhatsApp sends none."""
    body = json.dumps({"to": stage.user, "from": "somebody", "count": 3, "nested": {"a": [1, 2]}}).encode()
    answer = await stage.push(stage.pushes.good(), body=body)
    stage.expect(answer.is_success or answer.is_refusal, "status 2xx or 4xx", answer)


@check(
    "LIF-02.push-for-nobody-is-answered-alike",
    Level.SHOULD,
    "A push for somebody whom the messenger does not know is answered like any other.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def for_nobody_is_answered_alike(stage: PartnerStage) -> None:
    """Whoever has gone since would otherwise be tried again and again; and nobody learns who is a user."""
    known, unknown = await stage.push(stage.pushes.good()), await stage.push(stage.pushes.good(), NOBODY)
    stage.expect(unknown.status == known.status, f"status {known.status}, as for a user", unknown)


@check(
    "LIF-01.push-takes-post-only",
    Level.SHOULD,
    "Only a POST is a push.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def takes_post_only(stage: PartnerStage) -> None:
    """GET, PUT and DELETE are refused, even with a good token."""
    for method in ("GET", "PUT", "DELETE"):
        answer = await stage.ask(
            method, stage.facts.push_url, headers={"Authorization": f"Bearer {stage.pushes.good()}"}
        )
        stage.expect(not answer.is_success, f"{method} is refused", answer)


@check(
    "LIF-02.push-burst-is-survived",
    Level.SHOULD,
    "Fifty pushes at the same time are all answered, and the next one as always.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def burst_is_survived(stage: PartnerStage) -> None:
    """A server that has enough may say so, with status 429 or 503."""
    pushes = stage.pushes
    answers = await asyncio.gather(*(stage.push(pushes.good()) for _ in range(BURST)))
    others = sorted({answer.status for answer in answers} - {200, *_BUSY})
    stage.expect(not others, "status 200 for each, or 429 or 503", f"status {others}")

    async def is_accepted_again() -> bool:
        return (await stage.push(stage.pushes.good())).status == 200

    await stage.until(is_accepted_again, "status 200 for a push after the burst", "none, in time")


@check(
    "LIF-02.push-refusal-keeps-the-token",
    Level.SHOULD,
    "The answer to a push that is refused does not repeat its token.",
    subject=Subject.PARTNER,
    milestone=3,
    features=("push",),
    after=(ACCEPTED,),
)
async def refusal_keeps_the_token(stage: PartnerStage) -> None:
    """What goes into answers goes into logs."""
    token = stage.pushes.expired()
    answer = await stage.push(token)
    where = answer.body + b"".join(f"{name}: {value}\n".encode() for name, value in answer.headers.items())
    stage.expect(token.encode() not in where, "an answer without the token", "it repeats it")
