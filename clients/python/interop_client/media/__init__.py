"""Files: encrypted and uploaded, downloaded and decrypted; knows no message."""
