"""The story of `interopsim demo`: people on two messengers, each in a process of their own; knows no server code."""
