"""CPEs behind an ACS: which device is whose line's, and the parameters that are set at them."""
