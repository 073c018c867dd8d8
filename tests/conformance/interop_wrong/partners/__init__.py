"""The defects of messengers' servers, one module for each part of the server."""
