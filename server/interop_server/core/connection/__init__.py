"""Logins and the end of connections and accounts (CHN, PRX, LIF)."""
