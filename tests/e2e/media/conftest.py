"""What tests of media share."""

from tests.object_stores import s3_server

__all__ = ["s3_server"]
