"""Engines of the `BlobStore` port: a local folder, and an object store by URL; knows no rule and no row.

A new engine is a class that implements the port, a line in `app.py`, and an opener in
`tests/contract/blobs/conftest.py`, for which the contract then runs, too.
"""


class BlobsUnusable(Exception):
    """Blobs cannot be kept where they should be; the message is a sentence that says why, and names no secret."""
