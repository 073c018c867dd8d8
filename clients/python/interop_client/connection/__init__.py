"""How clients and server exchange stanzas, calls and blobs, directly or through a proxy; knows no message."""
