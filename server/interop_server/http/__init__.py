"""The documented HTTP surface, and HTTP requests to partners' servers; knows no gRPC, SQL or file."""
