"""The documented HTTP surface, and what is asked of partners' servers over HTTP; knows no gRPC, SQL or file."""
