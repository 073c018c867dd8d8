"""Runs a server under a steady mixed load for long, and measures whether its memory grows."""
