"""How stanzas, calls and blobs reach the server and come back: directly or through a proxy; knows no message."""
