"""Whole numbers as people write them, read within bounds; knows nothing of what they count."""

_MAX_DIGITS = 100
"""More than any number that is meant has; Python itself reads none of more than some thousands of digits."""


def read_whole(text: str, least: int, most: int | None = None) -> int | None:
    """Returns a number written in digits alone; None for another text, and for a number out of bounds.

    Args:
        text: What was written.
        least: The smallest number, 0 or more.
        most: The largest; None for any of up to 100 digits.
    """
    if len(text) > _MAX_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if least <= number and (most is None or number <= most) else None
