"""What the operator of a simulator uses: a client of the admin service, and the commands that call it.

Knows no protocol under simulation: to act for a user, take `interop_client`.
"""
