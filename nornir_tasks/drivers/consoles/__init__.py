"""Routers' own consoles by SSH: what they say of their sessions, and how one is ended there."""
