"""Chaos from outside: what clients see of a running proxy while its surroundings break."""
