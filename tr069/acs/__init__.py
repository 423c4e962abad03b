"""The embedded ACS: for networks that have none. Start it with `tr069-acs serve`."""
