"""The command `delinquency`."""
