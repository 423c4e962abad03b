"""The memory of the ACS: SQLite or PostgreSQL, and what is held in memory of it."""
