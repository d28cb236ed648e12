"""Real programs to profile, each bare, instrumented, or instrumented but off."""
