"""Headers of length-delimited protobuf fields, for messages that are written without copying their content."""


def field_header(number: int, length: int) -> bytes:
    """Returns the bytes that precede a field's content: its tag and the content's length.

    Args:
        number: Number of the field, 1 to 15.
        length: Length of the content in bytes.
    """
    header = bytearray((number << 3 | 2,))
    while length >= 0x80:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)
