"""The gRPC edge: validates, converts and calls the rules; knows no storage and no HTTP."""
