"""Answers made up from a seed, each as one body and as the stream that amounts to it."""
