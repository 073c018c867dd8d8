"""The conformance kit: judges somebody else's client, or partner's server, against a simulator that it starts.

It drives the subject (`drivers`), plays everybody else (`stage`), and holds what the server and the peer saw against
what must hold (`checks`). It never imports the server: it starts it as anybody would.
"""
