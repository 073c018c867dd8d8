"""A client of third-party chats, for both sides: the third-party user and the WhatsApp user; knows no server code.

Read in this order to write a client of your own:

1. `connection`: `channel` (Noise and frames), then `transport`.
2. `signal`: sessions.
3. `keys`: prekeys, published and refilled.
4. `messaging`: `inbox` and `open_connection` (deliveries), `outgoing` (messages), `retries` (broken sessions repaired).
5. `media`: files.
6. `client`, then `third_party` or `whatsapp`.
"""
