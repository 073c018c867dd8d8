"""Kills a server under mixed load at every commit point and at random, and holds what it acked against a model."""
