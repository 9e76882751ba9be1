"""Memory: text to vector to neighbour to stored answer. Knows disk and Redis, no threshold."""
