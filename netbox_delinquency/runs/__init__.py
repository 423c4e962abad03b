"""From intended states to a plan, from an approved plan to the network, and back to what was observed."""
