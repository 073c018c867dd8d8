"""The account's own prekeys on the server, and other users' bundles from it; knows no message."""
