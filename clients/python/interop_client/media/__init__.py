"""Encrypts and uploads files, downloads and decrypts them; knows no message."""
