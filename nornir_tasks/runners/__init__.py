"""Nornir runner plugins."""
