"""The parts on which client and server must agree, as pure functions of bytes; knows no gRPC and no clock.

| module | what it fixes |
|---|---|
| `sizes` | lengths, ranges and limits |
| `encoding` | base64url |
| `jid` | addresses |
| `xeddsa_keys` | signatures of Curve25519 keys |
| `kem_keys` | ML-KEM-1024 prekeys |
| `digest` | hashes by which client and server compare keys, device lists and blocklists |
| `franking` | the tokens that make a message reportable |
| `certificates` | the chain that certifies the server's static key |
| `noise` | the handshake of the chat channel, and the frames after it |
| `times` | times and durations on the command line |

A function that needs randomness or the time takes it as an argument.
"""
