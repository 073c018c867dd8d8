"""The PostgreSQL engine: one database for as many accounts and messages as one file cannot hold."""
