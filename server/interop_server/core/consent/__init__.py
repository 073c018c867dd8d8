"""Consent (OPT): opt-in, routes, message requests, first contact, reachability pings."""
