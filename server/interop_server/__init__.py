"""The simulator: rules in `core`, edges in `rpc` and `http`, wired together in `app`."""

__version__ = "0.2.0"
"""Of the whole distribution. Here, since asking the installed metadata takes a twentieth of a start."""
