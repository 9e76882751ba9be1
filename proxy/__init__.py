"""The shell: HTTP in and out, clock, dice, concurrency, wiring and the command line."""
