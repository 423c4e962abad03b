"""RADIUS: the stored policy in FreeRADIUS's SQL tables, and live sessions by dynamic authorization (RFC 5176)."""
