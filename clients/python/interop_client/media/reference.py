"""What a message says of its file; knows no way to get it.

Source: MED-01 to MED-06.
"""

from dataclasses import dataclass, field

from interop_client.media.crypto import EncryptedMedia, MediaType


@dataclass(frozen=True, slots=True)
class MediaReference:
    """Where a blob is, and what opens and proves it. Travels inside an encrypted message."""

    media_type: MediaType
    """Which keys it needs."""
    direct_path: str
    """`/v/t…` or `/interop/whatsapp/download/{integrator}/{storage_reference}/`."""
    media_key: bytes = field(repr=False)
    """32 bytes."""
    encrypted: EncryptedMedia
    """Lengths and digests that it must match."""
    mimetype: str = ""
    """As the sender says; may be empty."""
    name: str = ""
    """File name of a document, without a folder, or caption of a picture or film; may be empty."""
