"""A client of third-party chats, for both sides: the third-party user and the WhatsApp user; knows no server code.

Read in this order to write a client of your own: `channel` (Noise and frames), `transport`, `signal` (sessions),
`inbox` and `connection` (deliveries), `outgoing` (messages), `retries` (mending broken sessions), `client`, then
`third_party` or `whatsapp`.
"""
