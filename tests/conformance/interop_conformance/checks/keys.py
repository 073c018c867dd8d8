"""KEY: prekeys, as the server and the peers see them."""
