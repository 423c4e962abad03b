"""Adapters: one file a billing system's way of speaking, found by entry point so that third parties can add theirs."""
