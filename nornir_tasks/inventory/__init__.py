"""Enforcement points as a Nornir inventory."""
