"""The operator's side (SIM): partners, WhatsApp users, the clock."""
