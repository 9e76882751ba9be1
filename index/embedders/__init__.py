"""Text to vector, one file per runtime."""
