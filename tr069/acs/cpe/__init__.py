"""The side that CPEs talk to: authentication, sessions, connection requests, and what is done in a session."""
