"""Writes protos/vectors: `python -m tests.vectors.write`, or `make vectors`."""

from tests.vectors.documents import FOLDER, SCHEMA_NAME, Document, encode
from tests.vectors.made import (
    base64url,
    certificates,
    contents,
    curve_keys,
    digests,
    enlistment,
    frames,
    franking,
    jids,
    media,
    noise,
    prekeys,
    ratchet,
    refusals,
    tokens,
    x3dh,
    xeddsa,
)
from tests.vectors.schema import schema


def documents() -> list[Document]:
    """Returns all files, in the order in which one who writes a client uses them."""
    return [
        base64url.document(),
        jids.document(),
        curve_keys.document(),
        xeddsa.document(),
        prekeys.document(),
        tokens.document(),
        enlistment.forms(),
        enlistment.answers(),
        certificates.document(),
        noise.handshakes(),
        noise.refused(),
        frames.document(),
        refusals.document(),
        digests.key_digests(),
        digests.phashes(),
        x3dh.agreements(),
        x3dh.refused(),
        contents.paddings(),
        contents.contents(),
        ratchet.document(),
        contents.malformed_messages(),
        franking.document(),
        media.blobs(),
        media.refused(),
        media.ranges(),
        digests.blocklist_digests(),
    ]


def written() -> dict[str, bytes]:
    """Returns the bytes of every file that is written, by its name."""
    made = documents()
    files = {f"{document.name}.json": document.encode() for document in made}
    return {**files, SCHEMA_NAME: encode(schema(made))}


def main() -> None:
    """Writes the files, and takes away those that are none any more."""
    files = written()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    print(f"{len(files)} files are written into {FOLDER}")


if __name__ == "__main__":
    main()
