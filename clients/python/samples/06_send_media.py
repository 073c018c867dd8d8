"""Files in both directions: Alice uploads an encrypted document; Bob's messenger hosts his encrypted picture."""

import os
import tempfile
from pathlib import Path

from stage import endpoint, expect, messenger, play, whatsapp_user

from interop_client.media.upload import media_host
from interop_client.messaging.events import MediaReceived


async def main() -> None:
    """Sends one file in each direction, and downloads Alice's over gRPC and over HTTP."""
    async with messenger(integrator=106) as bobs_messenger:
        bob = bobs_messenger.user("bob")
        await bob.enlist(bobs_messenger.server.issue_token("bob"))
        alice = await whatsapp_user(106)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            document, picture = folder / "report.pdf", folder / "cat.png"
            document.write_bytes(os.urandom(3_000_000))
            picture.write_bytes(os.urandom(500_000))
            async with bob, alice:
                await bob.publish_prekeys()
                shares: list[float] = []
                await alice.send_document(bob.jid, document, progress=lambda sent, all: shares.append(sent / all))
                expect(shares[-1] == 1, f"Alice uploads {document.name}, encrypted, in {len(shares)} parts.")
                media = (await bob.wait_for(MediaReceived)).media
                expect(
                    media.direct_path.startswith("/v/t") and media.name == "report.pdf", f"Path: {media.direct_path}"
                )
                await bob.download(media, folder / "over_grpc")
                await bob.download(media, folder / "over_http", http=endpoint().http)
                same = [(folder / way).read_bytes() == document.read_bytes() for way in ("over_grpc", "over_http")]
                expect(all(same), "Bob downloads and decrypts it, over gRPC and over HTTP.")

                await bob.send_image(alice.jid, picture, media_host(bobs_messenger.server.media_url), caption="A cat")
                media = (await alice.wait_for(MediaReceived)).media
                expect(
                    media.direct_path.startswith("/interop/whatsapp/download/106/"),
                    f"Alice is told of a picture at {media.direct_path}",
                )
                await alice.download(media, folder / "cat")
                expect((folder / "cat").read_bytes() == picture.read_bytes(), f"Alice sees Bob's picture: {media.name}")


play(main)
