"""The rules of the protocol: pure decisions and the use cases that await ports; knows no gRPC, HTTP, SQL or clock."""
