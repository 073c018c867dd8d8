"""`make bench`: what a real server process does beside what bare grpc.aio can; asserts what comes back, but no time."""
