"""Step: no server holds a plaintext of the story; knows nothing of how people sent them."""

import asyncio

from interop_demo.search import files_under, search, text_secret
from interop_demo.stage import Stage, expect

_MEBIBYTE = 1 << 20


async def find_no_plaintext(stage: Stage) -> str:
    """Searches database, blobs and logs of both servers for everything that people sent."""
    places = await stage.ground.places()
    # A control: the search must find what the server must know, or else finding nothing would prove nothing.
    control = await asyncio.to_thread(search, [text_secret("Bob's identifier", stage.bob.user)], files_under(*places))
    expect(bool(control.hits), "the search does not even find what the server must know")
    stage.timeline.tell("search", f"finds what must be there: {', '.join(control.hits)}")
    findings = await asyncio.to_thread(search, stage.secrets, files_under(*places, stage.folders.messenger))
    expect(not findings.hits, f"found {', '.join(findings.hits)}")
    where = f"{findings.files} files of {findings.bytes / _MEBIBYTE:.1f} MiB"
    stage.timeline.tell("search", f"finds no plaintext in database, blobs and logs: {where}")
    patterns = sum(len(secret.patterns) for secret in stage.secrets)
    detail = f"{len(stage.secrets)} plaintexts, as {patterns} byte patterns, searched for in {where}; none found"
    uniform = [secret.name for secret in stage.secrets if not secret.patterns]
    return f"{detail}; too short or uniform to be recognised in parts: {', '.join(uniform)}" if uniform else detail
