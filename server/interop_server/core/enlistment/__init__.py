"""Enlistment (ENL): how a partner's user gets an account and keeps it: tokens, key sets, identifiers, location."""
