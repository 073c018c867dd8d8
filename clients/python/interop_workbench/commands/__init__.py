"""Commands that tell the people of a running workbench what to do; each module knows only its own."""
