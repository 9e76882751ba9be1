"""Attacks from outside: what a caller without rights can learn, take or leave behind."""
