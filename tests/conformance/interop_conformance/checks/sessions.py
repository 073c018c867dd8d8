"""Signal sessions: what a peer sees of them."""
