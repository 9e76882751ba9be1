"""The core: values in, verdict out. No clock, dice, I/O, log or framework lives here."""
