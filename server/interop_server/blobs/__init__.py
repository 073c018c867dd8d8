"""Where ciphertext blobs lie; knows no protocol, no metadata and no key."""
