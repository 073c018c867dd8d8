"""The commands of `interopsim` that ask a running simulator, over its admin port."""
