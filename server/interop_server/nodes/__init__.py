"""Several nodes that are one world: who is there, who is connected where, and what they tell each other; no rule.

What must not be lost stands in the database, where each node looks twice a second. The bus only makes it quicker.
"""


class BusUnusable(Exception):
    """The bus cannot be what was chosen; the message is a sentence that says why, and names no secret."""


class PeopleElsewhere(Exception):
    """Another node of the world has its people; the message is a sentence that says which, and what to do."""
