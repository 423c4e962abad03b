"""CPEs through an ACS, our own or GenieACS."""
