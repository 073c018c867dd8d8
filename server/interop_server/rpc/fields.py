"""Headers of length-delimited protobuf fields, for messages that are written without copying what they hold."""


def field_header(number: int, length: int) -> bytes:
    """Returns what stands before the bytes of a field: its tag and their length.

    Args:
        number: Of the field, 1 to 15.
        length: In bytes.
    """
    header = bytearray((number << 3 | 2,))
    while length >= 0x80:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)
