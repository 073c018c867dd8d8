"""Clients and partner's servers that are right but for one thing each: what a conformance kit must notice.

`python -m interop_wrong.client NAME` drives the SDK with that one defect, over the driver protocol, and
`python -m interop_wrong.partner NAME` runs the sample of a messenger's server with one. Whoever writes a server, or a
kit, of their own can try it with them.
"""
