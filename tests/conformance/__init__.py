"""`make conformance`: an official client cannot tell memory from upstream but by speed and headers.

Collected by no test runner except for the small tests of its pure parts.
"""
