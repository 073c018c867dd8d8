"""PRX: clients that connect through their messenger's proxy."""
