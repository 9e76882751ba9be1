"""Likewise beside what a user would pick instead: the same work, the same vectors, one machine."""
