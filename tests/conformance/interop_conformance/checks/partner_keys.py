"""ENL-03, ENL-04: the key set of a messenger, at its well-known address."""

import base64
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from interop_conformance.check import Level, Subject, check
from interop_conformance.partner_stage import JWKS_PATH, MAX_JWKS_BYTES, PartnerStage, keys_in
from interop_conformance.probe import Answer

SERVED = "ENL-03.jwks-is-served"
MARKED = "ENL-04.jwks-keys-are-marked"
READABLE = "ENL-04.jwks-numbers-can-be-read"
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members that only the owner of a key may know (RFC 7518, section 6)."""
MIN_BITS = 2_048
SMALL_BYTES = 64 * 1024
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


async def fetch(stage: PartnerStage, method: str = "GET") -> Answer:
    """Asks for the key set."""
    return await stage.ask(method, stage.facts.base_url + JWKS_PATH, max_bytes=MAX_JWKS_BYTES)


def usable(keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the keys of a set that count for WhatsApp: others may be in it for somebody else."""
    wanted = ("RSA", "sig", "RS256")
    return [key for key in keys if (key.get("kty"), key.get("use"), key.get("alg")) == wanted]


def number(text: object) -> int:
    """Returns the number that a member says in base64url; 0 when it says none."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        return 0
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except ValueError:
        return 0


@check(
    SERVED,
    Level.MUST,
    "The key set is at `/.well-known/oauth/openid/jwks` below the base URL, for everybody, without a redirect.",
    subject=Subject.PARTNER,
    milestone=1,
)
async def is_served(stage: PartnerStage) -> None:
    """Status 200, and a JSON object with a list of keys."""
    await stage.key_set()


@check(
    "ENL-03.jwks-holds-nothing-private",
    Level.MUST,
    "The key set holds public keys, and nothing of a private or secret one.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def holds_nothing_private(stage: PartnerStage) -> None:
    """No key has a member that belongs to its owner alone, whatever the key is for."""
    found = sorted({name for key in await stage.key_set() for name in PRIVATE & key.keys()})
    stage.expect(not found, "public members only", f"private members: {', '.join(found)}")


@check(
    MARKED,
    Level.MUST,
    "At least one key is an RSA key that is marked for signatures with RS256.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def keys_are_marked(stage: PartnerStage) -> None:
    """`kty` RSA, `use` sig, `alg` RS256. Keys for other purposes may be there too."""
    keys = await stage.key_set()
    seen = [f"{key.get('kty')}/{key.get('use')}/{key.get('alg')}"[:60] for key in keys[:8]]
    stage.expect(usable(keys), "a key with RSA/sig/RS256", ", ".join(seen))


@check(
    "ENL-04.jwks-keys-have-names",
    Level.MUST,
    "Each key for signatures has a `kid`, and no two keys have the same.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(MARKED,),
)
async def keys_have_names(stage: PartnerStage) -> None:
    """A token picks its key by `kid`: a name that is missing or given twice picks none."""
    keys = await stage.key_set()
    nameless = [key for key in usable(keys) if not isinstance(key.get("kid"), str) or not key["kid"]]
    stage.expect(not nameless, "a `kid` at each key", f"{len(nameless)} of {len(keys)} keys have none")
    twice = [name for name, count in Counter(str(key.get("kid")) for key in keys if "kid" in key).items() if count > 1]
    stage.expect(not twice, "a `kid` of its own for each key", f"several keys with {twice[:1]}")


@check(
    READABLE,
    Level.MUST,
    "Modulus and exponent of each key for signatures are base64url without padding, and make an RSA key.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(MARKED,),
)
async def numbers_can_be_read(stage: PartnerStage) -> None:
    """Both are odd, and the exponent is 3 or more."""
    for key in usable(await stage.key_set()):
        modulus, exponent = number(key.get("n")), number(key.get("e"))
        stage.expect(modulus % 2 == 1, "an odd modulus in base64url", str(key.get("n"))[:40])
        stage.expect(exponent >= 3 and exponent % 2 == 1, "an odd exponent of 3 or more", str(key.get("e"))[:40])


@check(
    "ENL-05.jwks-keys-are-long",
    Level.SHOULD,
    "Each RSA key for signatures has at least 2,048 bits.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(READABLE,),
)
async def keys_are_long(stage: PartnerStage) -> None:
    """The length of the modulus."""
    lengths = [number(key.get("n")).bit_length() for key in usable(await stage.key_set())]
    shortest = min(lengths, default=0)
    stage.expect(shortest >= MIN_BITS, f"{MIN_BITS} bits or more", f"{shortest} bits")


@check(
    "ENL-03.jwks-is-called-json",
    Level.SHOULD,
    "The key set is served as JSON: application/json or application/jwk-set+json.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def is_called_json(stage: PartnerStage) -> None:
    """The content type."""
    kind = (await fetch(stage)).headers.get("Content-Type", "").partition(";")[0].strip().lower()
    stage.expect(kind in ("application/json", "application/jwk-set+json"), "a content type of JSON", kind or "none")


@check(
    "ENL-03.jwks-says-how-long-it-holds",
    Level.SHOULD,
    "The key set says how long a copy may be kept, or how to ask whether it has changed.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def says_how_long_it_holds(stage: PartnerStage) -> None:
    """Any of the headers that HTTP has for this."""
    headers = (await fetch(stage)).headers
    names = ("Cache-Control", "Expires", "ETag", "Last-Modified")
    stage.expect(any(name in headers for name in names), f"one of {', '.join(names)}", "none of them")


@check(
    "ENL-03.jwks-is-small",
    Level.SHOULD,
    "The key set has at most 64 KiB: whoever fetches it bounds what they read.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def is_small(stage: PartnerStage) -> None:
    """Room for more than a hundred keys."""
    size = len((await fetch(stage)).body)
    stage.expect(size <= SMALL_BYTES, f"{SMALL_BYTES} bytes or fewer", f"{size} bytes")


@check(
    "ENL-03.jwks-stays-the-same",
    Level.SHOULD,
    "The key set is the same for whoever asks again.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(MARKED,),
)
async def stays_the_same(stage: PartnerStage) -> None:
    """At least one key is in all of five answers: servers behind one address must not each have keys of their own."""
    sets = [{str(key.get("n")) for key in usable(keys_in(await fetch(stage)))} for _ in range(5)]
    stage.expect(set.intersection(*sets), "a key that is in each of five answers", "no key is in all of them")


@check(
    "ENL-03.jwks-needs-no-cookie",
    Level.SHOULD,
    "The key set comes without cookies.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def needs_no_cookie(stage: PartnerStage) -> None:
    """It is public, and WhatsApp keeps none."""
    stage.expect("Set-Cookie" not in (await fetch(stage)).headers, "no Set-Cookie", "Set-Cookie")


@check(
    "ENL-03.jwks-is-not-compressed",
    Level.SHOULD,
    "The key set is not compressed for whoever does not ask for that.",
    subject=Subject.PARTNER,
    milestone=1,
)
async def is_not_compressed(stage: PartnerStage) -> None:
    """The request says `Accept-Encoding: identity`."""
    coding = (await fetch(stage)).headers.get("Content-Encoding", "identity").strip().lower()
    stage.expect(coding == "identity", "no Content-Encoding", coding)


@check(
    "ENL-03.jwks-answers-head",
    Level.SHOULD,
    "HEAD on the key set's address is answered like GET, without a body.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def answers_head(stage: PartnerStage) -> None:
    """As RFC 9110, section 9.1, has it of every server."""
    answer = await fetch(stage, "HEAD")
    stage.expect(answer.status == 200 and not answer.body, "status 200 without a body", answer)


@check(
    "ENL-03.jwks-cannot-be-changed",
    Level.SHOULD,
    "Nobody can write to the key set's address.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SERVED,),
)
async def cannot_be_changed(stage: PartnerStage) -> None:
    """PUT and DELETE are refused, and the key set is still there afterwards."""
    for method in ("PUT", "DELETE"):
        answer = await stage.ask(method, stage.facts.base_url + JWKS_PATH, body=b'{"keys": []}')
        stage.expect(answer.is_refusal or answer.status in (501, 505), f"{method} is refused", answer)
    await stage.key_set()


@check(
    "ENL-03.jwks-is-taken",
    Level.MUST,
    "The simulator fetches the key set, and finds a key in it that it can use.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(MARKED,),
)
async def is_taken(stage: PartnerStage) -> None:
    """As it does at intervals."""
    usable_keys = await stage.does("the simulator can fetch the key set", stage.admin.refresh_jwks(stage.integrator))
    stage.expect(usable_keys >= 1, "at least one key that can be used", usable_keys)
