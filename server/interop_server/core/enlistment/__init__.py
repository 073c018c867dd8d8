"""How a user of a partner becomes an account, and stays one (ENL): tokens, key sets, identifiers, location."""
