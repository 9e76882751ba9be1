"""One module for each official client, run by the interpreter in which that client is installed."""
