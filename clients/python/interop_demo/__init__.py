"""The story that `interopsim demo` tells: two people on two messengers, in separate processes; knows no server code."""
