"""The commands of `interopsim` that call a running simulator over its admin port."""
