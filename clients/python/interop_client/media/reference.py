"""A message's description of its file; knows no upload or download.

Source: MED-01 to MED-06.
"""

from dataclasses import dataclass, field

from interop_client.media.crypto import EncryptedMedia, MediaType


@dataclass(frozen=True, slots=True)
class MediaReference:
    """The path of a blob, its key and its digests. Part of an encrypted message."""

    media_type: MediaType
    """Decides which keys the media key expands to."""
    direct_path: str
    """`/v/t…` or `/interop/whatsapp/download/{integrator}/{storage_reference}/`."""
    media_key: bytes = field(repr=False)
    """32 bytes."""
    encrypted: EncryptedMedia
    """Lengths and digests that the blob must match."""
    mimetype: str = ""
    """From the sender, not verified; may be empty."""
    name: str = ""
    """File name of a document, harmless as in `file_names`, or caption of an image or video; may be empty."""
