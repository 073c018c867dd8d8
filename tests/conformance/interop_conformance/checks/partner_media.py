"""MED-02, MED-03: the files of a messenger's users, which WhatsApp fetches from the messenger."""

import secrets

from interop_client.connection.http import http_request, read_body
from interop_client.errors import ServerRefusal
from interop_conformance.check import Level, NotSo, Subject, check
from interop_conformance.partner_stage import PartnerStage, refusal_of
from interop_conformance.probe import Answer, Unanswered

SERVED = "MED-02.media-is-served"
MAX_BLOB_BYTES = 64 << 20
BLOB_BYTES = 40_000
SIZES = (1, 16, 65_536, 65_537, (1 << 20) + 5)
NOT_THERE = (404, 410)
ONE_SEGMENT = "Whoever writes a message chooses the reference: one that leads elsewhere would hand out other files."

# None that a server which resolves paths before it looks turns into a page of its own, as `%2e%2e` alone would be.
TRAVERSALS = (
    "%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "..%5c..%5c..%5c..%5cwindows%5cwin.ini",
    "%252e%252e%252fetc%252fpasswd",
    "%2fetc%2fpasswd",
)
ODD = ("%00", "a%00.png", "%0d%0aX-Header:%20a", "%20", "%c3%bc%f0%9f%90%88", "%ff%fe", "a%3fb", "a;b=c")


async def fetch(stage: PartnerStage, reference: str, **headers: str) -> Answer:
    """Gets a file, its reference exactly as it is written."""
    url = f"{stage.facts.media_url}/{reference}"
    return await stage.ask("GET", url, headers=headers, max_bytes=MAX_BLOB_BYTES)


async def blob(stage: PartnerStage, size: int = BLOB_BYTES) -> tuple[str, bytes]:
    """Returns the reference and the bytes of a file: one that the kit puts there, or the one that was named."""
    if "uploads" in stage.facts.features:
        reference, content = secrets.token_urlsafe(24), secrets.token_bytes(size)
        answer = await stage.ask("PUT", f"{stage.facts.media_url}/{reference}", body=content)
        stage.expect(answer.is_success, "the media server takes a file of the kit", answer)
        return reference, content
    answer = await fetch(stage, stage.facts.media_reference)
    stage.expect(answer.status == 200, "status 200, without a redirect", answer)
    return stage.facts.media_reference, answer.body


async def through_the_simulator(stage: PartnerStage, reference: str) -> bytes:
    """Gets a file as a WhatsApp user does: from the simulator, which asks the messenger.

    Raises:
        ServerRefusal: `HTTP_{status}`.
        NotSo: The file does not come to its end.
    """
    path = f"/interop/whatsapp/download/{stage.integrator}/{reference}/"
    try:
        async with http_request("GET", stage.simulator.endpoint.http + path) as response:
            return await read_body(response, MAX_BLOB_BYTES)
    except OSError as error:
        raise NotSo("a whole file through the simulator", refusal_of(error)) from error


@check(
    SERVED,
    Level.MUST,
    "A file is served under its reference, byte for byte, without a redirect.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
)
async def is_served(stage: PartnerStage) -> None:
    """Twice, since the first answer could come from somewhere else than the next."""
    reference, content = await blob(stage)
    stage.expect(content, "a file that is not empty", "no bytes")
    for _ in range(2):
        answer = await fetch(stage, reference)
        stage.expect(answer.status == 200, "status 200, without a redirect", answer)
        stage.expect(answer.body == content, f"the {len(content)} bytes of the file", f"{len(answer.body)}, or others")


@check(
    "MED-02.media-of-any-size",
    Level.MUST,
    "Files of any length come back byte for byte.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media", "uploads"),
    after=(SERVED,),
)
async def of_any_size(stage: PartnerStage) -> None:
    """One byte, one block, and both sides of sizes at which servers cut."""
    for size in SIZES:
        reference, content = await blob(stage, size)
        answer = await fetch(stage, reference)
        stage.expect(answer.status == 200 and answer.body == content, f"the {size} bytes that were put", answer)


@check(
    "MED-02.media-passes-through",
    Level.MUST,
    "WhatsApp fetches a file from the messenger, and passes it on as it is.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def passes_through(stage: PartnerStage) -> None:
    """The path in the message names messenger and reference."""
    reference, content = await blob(stage)
    try:
        got = await through_the_simulator(stage, reference)
    except ServerRefusal as refusal:
        raise NotSo("the simulator can fetch the file", refusal.reason) from refusal
    stage.expect(got == content, f"the {len(content)} bytes of the file", f"{len(got)}, or others")


@check(
    "MED-02.media-says-its-length",
    Level.SHOULD,
    "The answer says how long the file is.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def says_its_length(stage: PartnerStage) -> None:
    """Content-Length: without it, a connection that breaks looks like the end of the file."""
    reference, content = await blob(stage)
    length = (await fetch(stage, reference)).headers.get("Content-Length")
    stage.expect(length == str(len(content)), f"Content-Length {len(content)}", length)


@check(
    "MED-02.media-answers-ranges",
    Level.SHOULD,
    "A part of a file can be asked for: a download that broke goes on where it was.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def answers_ranges(stage: PartnerStage) -> None:
    """Status 206 with these bytes, from within the file and to its end."""
    reference, content = await blob(stage)
    middle, size = len(content) // 2, len(content)
    for asked, first, last in ((f"bytes={middle}-", middle, size - 1), ("bytes=0-0", 0, 0)):
        answer = await fetch(stage, reference, Range=asked)
        stage.expect(answer.status == 206, f"status 206 for {asked}", answer)
        stage.expect(answer.body == content[first : last + 1], f"bytes {first} to {last}", answer)
        shown = answer.headers.get("Content-Range", "none")
        stage.expect(shown in (f"bytes {first}-{last}/{size}", f"bytes {first}-{last}/*"), "their Content-Range", shown)


@check(
    "MED-02.media-beyond-its-end-is-refused",
    Level.SHOULD,
    "A part that begins after the end of a file is refused with status 416.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=("MED-02.media-answers-ranges",),
)
async def beyond_its_end_is_refused(stage: PartnerStage) -> None:
    """As RFC 9110, section 15.5.17, has it."""
    reference, content = await blob(stage)
    answer = await fetch(stage, reference, Range=f"bytes={len(content) + 10}-")
    stage.expect(answer.status == 416, "status 416", answer)


@check(
    "MED-02.media-unknown-is-not-there",
    Level.MUST,
    "A reference that never was is answered with status 404 or 410.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def unknown_is_not_there(stage: PartnerStage) -> None:
    """By the messenger, and then by the simulator, too."""
    reference = secrets.token_urlsafe(24)
    answer = await fetch(stage, reference)
    stage.expect(answer.status in NOT_THERE, "status 404 or 410", answer)
    try:
        await through_the_simulator(stage, reference)
    except ServerRefusal as refusal:
        stage.expect(refusal.reason == "HTTP_404", "status 404 from the simulator", refusal.reason)
    else:
        raise NotSo("status 404 from the simulator", "a file")


async def require_none(stage: PartnerStage, reference: str) -> None:
    """Asks for what is no reference: the server has no file for it, and does not fail.

    Raises:
        NotSo: It hands something out, or fails.
    """
    try:
        answer = await fetch(stage, reference)
    except Unanswered as silence:
        raise NotSo(f"a refusal of {reference[:80]!r}", silence.got) from silence
    stage.expect(not answer.is_success and answer.status < 500, f"a refusal of {reference[:80]!r}", answer)


@check(
    "MED-03.media-traversal-is-refused",
    Level.MUST,
    "A reference that leads out of the folder of files hands out nothing.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=("MED-02.media-unknown-is-not-there",),
    forced_by=ONE_SEGMENT,
)
async def traversal_is_refused(stage: PartnerStage) -> None:
    """`..` in all the ways in which one segment of a path can hide it, and the path of a file of the machine."""
    for reference in TRAVERSALS:
        await require_none(stage, reference)
    answer = await fetch(stage, "../" * 12 + "etc/passwd")
    stage.expect(b"root:" not in answer.body, "nothing of the machine's files", "its list of users")


@check(
    "MED-03.media-reference-is-one-segment",
    Level.SHOULD,
    "A reference with a slash in it, plain or escaped, is none.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=("MED-02.media-unknown-is-not-there",),
)
async def reference_is_one_segment(stage: PartnerStage) -> None:
    """Before or after a reference that exists."""
    reference, _ = await blob(stage)
    for odd in (f"{reference}/b", f"{reference}%2fb", f"a/{reference}", f"a%2f{reference}"):
        await require_none(stage, odd)


@check(
    "MED-03.media-odd-references-are-refused",
    Level.SHOULD,
    "A reference with characters that no reference has is refused, and the server does not fail.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=("MED-02.media-unknown-is-not-there",),
)
async def odd_references_are_refused(stage: PartnerStage) -> None:
    """Zero bytes, line ends, blanks, other scripts, what is no UTF-8."""
    for reference in ODD:
        await require_none(stage, reference)


@check(
    "MED-03.media-long-reference-is-refused",
    Level.SHOULD,
    "A very long reference is refused, and the server does not fail.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=("MED-02.media-unknown-is-not-there",),
)
async def long_reference_is_refused(stage: PartnerStage) -> None:
    """Longer than names of files can be, and longer than a server reads."""
    for length in (300, 5_000):
        await require_none(stage, "a" * length)


@check(
    "MED-03.media-reference-is-exact",
    Level.SHOULD,
    "Only the reference itself finds a file: not its beginning, nor with something after it.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=("MED-02.media-unknown-is-not-there",),
)
async def reference_is_exact(stage: PartnerStage) -> None:
    """Whoever guesses must guess all of it."""
    reference, _ = await blob(stage)
    for other in (reference[:-1] or "x", f"{reference}x", f"{reference}%2a", "%2a"):
        answer = await fetch(stage, other)
        stage.expect(answer.is_refusal, f"a refusal of {other[:80]!r}", answer)


@check(
    "MED-03.media-cannot-be-listed",
    Level.SHOULD,
    "Nobody can ask which files there are.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def cannot_be_listed(stage: PartnerStage) -> None:
    """The folder's own address does not show a reference that exists."""
    reference, _ = await blob(stage)
    for url in (stage.facts.media_url, f"{stage.facts.media_url}/"):
        answer = await stage.ask("GET", url, max_bytes=MAX_BLOB_BYTES)
        stage.expect(reference.encode() not in answer.body, "an answer that shows no reference", "it lists files")


@check(
    "MED-03.media-needs-no-cookie",
    Level.SHOULD,
    "Files come without cookies.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def needs_no_cookie(stage: PartnerStage) -> None:
    """WhatsApp keeps none, and passes none on."""
    reference, _ = await blob(stage)
    stage.expect("Set-Cookie" not in (await fetch(stage, reference)).headers, "no Set-Cookie", "Set-Cookie")


@check(
    "MED-03.media-is-not-compressed",
    Level.SHOULD,
    "Files are not compressed for whoever does not ask for that.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
)
async def is_not_compressed(stage: PartnerStage) -> None:
    """The request says `Accept-Encoding: identity`."""
    reference, _ = await blob(stage)
    coding = (await fetch(stage, reference)).headers.get("Content-Encoding", "identity").strip().lower()
    stage.expect(coding == "identity", "no Content-Encoding", coding)


@check(
    "MED-02.media-is-no-page",
    Level.SHOULD,
    "A file is not served as something that a browser would run.",
    subject=Subject.PARTNER,
    milestone=4,
    features=("media",),
    after=(SERVED,),
)
async def is_no_page(stage: PartnerStage) -> None:
    """It is ciphertext: application/octet-stream, or another type that is no HTML, script or SVG."""
    reference, _ = await blob(stage)
    kind = (await fetch(stage, reference)).headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_run = kind in ("text/html", "application/xhtml+xml", "image/svg+xml") or kind.endswith("javascript")
    stage.expect(not is_run, "a content type that is not run", kind)
