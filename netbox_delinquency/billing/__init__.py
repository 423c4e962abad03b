"""What billing systems tell us: one adapter a format, and the ingest that turns events into a contract's facts."""
