"""Encrypted blobs (MED): uploads, downloads and how long they are kept."""
