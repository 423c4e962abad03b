"""The side that operators and programs talk to: an HTTP API with a bearer token."""
