"""The workbench of a simulator: a messenger, people, a page to look at; meets the server on the wire only."""
