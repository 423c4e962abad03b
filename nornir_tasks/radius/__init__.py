"""RADIUS dynamic authorization (RFC 5176): packets, attributes, vendors' dialects and an asyncio client."""
