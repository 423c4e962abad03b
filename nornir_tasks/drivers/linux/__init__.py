"""A Linux router by SSH: tc for rates, nftables for the notice page."""
