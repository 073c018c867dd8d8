"""The operator's tools: a client of the admin service, and the commands that call it.

Knows nothing of the simulated protocol: to act for a user, use `interop_client`.
"""
