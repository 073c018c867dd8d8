"""Storage of ciphertext blobs; knows no protocol, no metadata and no key."""
