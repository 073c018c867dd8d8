"""T12: whoever stores or carries a blob changes it, swaps it, or tries to read it."""

import os
from pathlib import Path

import aiohttp
import pytest

from interop_client.media.crypto import MediaCheck, MediaTampered
from interop_client.media.upload import media_host
from interop_client.messaging.events import MediaReceived
from interop_demo.processes import Child
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import WAIT_SECONDS, flipped, refused
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T12"), pytest.mark.requirement("SIM-06")]

CANARY = b"canary-91c7 in plaintext "


@pytest.mark.requirement("MED-06")
async def test_a_changed_blob_on_the_messengers_server_is_noticed(world: World, tmp_path: Path, attack: Attack) -> None:
    """First, middle and last byte, a byte more, a byte less, another blob altogether."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    picture = tmp_path / "cat.png"
    picture.write_bytes(os.urandom(100_001))
    await bob.send_image(alice.jid, picture, media_host(world.partner.media_url))
    media = (await alice.wait_for(MediaReceived)).media
    url = f"{world.partner.media_url}/{media.direct_path.rstrip('/').rpartition('/')[2]}"
    attack.tries("Changing single bits, cutting off, appending to and swapping a blob on the messenger's media server")
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as response:
            blob = await response.read()
        changed = [flipped(blob, at) for at in (0, len(blob) // 2, -1)]
        for body in (*changed, blob[:-1], blob + b"\0", os.urandom(len(blob)), b"\0"):
            async with http.put(url, data=body) as response:
                assert response.status == 201
            with pytest.raises(MediaTampered):
                await alice.download(media, tmp_path / "opened")
            assert not (tmp_path / "opened").exists()
        async with http.put(url, data=blob) as response:
            assert response.status == 201
    await alice.download(media, tmp_path / "opened")
    assert (tmp_path / "opened").read_bytes() == picture.read_bytes()
    attack.holds("The recipient's client finds out each time, by the hash in the message, and leaves no file")


@pytest.mark.requirement("MED-05", "MED-06")
async def test_a_changed_blob_on_whatsapps_side_is_noticed(
    world: World, simulator_process: Child, tmp_path: Path, attack: Attack
) -> None:
    """Somebody with access to the server's disk; and an uploader whose bytes are not those that it announced."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    document = tmp_path / "report.pdf"
    document.write_bytes(CANARY * 5_000)
    await alice.send_document(bob.jid, document)
    media = (await bob.wait_for(MediaReceived)).media
    attack.tries("Changing a blob on the server's own disk, and uploading other bytes than those announced")
    length = media.encrypted.ciphertext_length
    [stored] = [path for path in blobs_of(simulator_process) if path.stat().st_size == length]
    good = stored.read_bytes()
    stored.chmod(0o600)
    stored.write_bytes(flipped(good, 1_000))
    for base_url in ("", world.endpoint.http):
        with pytest.raises(MediaTampered) as raised:
            await bob.download(media, tmp_path / "opened", base_url)
        assert raised.value.check is MediaCheck.CIPHERTEXT_SHA256
        assert not (tmp_path / "opened").exists()
    stored.write_bytes(good)
    uploader = Uploader(alice)
    await uploader.grant()
    blob = os.urandom(1_000)
    with refused("UPLOAD_HASH_MISMATCH"):
        await uploader.upload(uploader.start(blob), chunk(flipped(blob)))
    attack.holds("The recipient's client refuses the blob, over gRPC and HTTP; the server refuses the upload")


def blobs_of(simulator: Child) -> list[Path]:
    """The files that a simulator keeps blobs in."""
    return [path for path in simulator.log.parent.glob("interopsim-*/blobs/**/*") if path.is_file()]


@pytest.mark.requirement("MED-01")
async def test_the_server_never_sees_a_key_or_a_plaintext(
    world: World, simulator_process: Child, tmp_path: Path, attack: Attack
) -> None:
    """All that the server keeps and logs, searched for what only the two people may know."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    document = tmp_path / "canary-3a50-name.pdf"
    document.write_bytes(CANARY * 3_000)
    await alice.send_document(bob.jid, document)
    media = (await bob.wait_for(MediaReceived, WAIT_SECONDS)).media
    await bob.close()
    await alice.send_document(bob.jid, document)
    attack.tries("Searching the server's database, blobs and log for the media key, the file's name, hash and content")
    secrets = {
        "media key": media.media_key,
        "media key in hexadecimal": media.media_key.hex().encode(),
        "hash of the plaintext": media.encrypted.plaintext_sha256,
        "name": document.name.encode(),
        "content": CANARY,
    }
    kept = [path for path in simulator_process.log.parent.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in kept)
    for path in kept:
        content = path.read_bytes()
        for name, secret in secrets.items():
            assert secret not in content, f"{name} in {path}"
    attack.holds(f"None of them is in any of the {len(kept)} files: keys and hashes travel inside messages only")
