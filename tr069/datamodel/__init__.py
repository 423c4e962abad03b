"""What a device can do: its levers, found in its own parameter tree and in what is known of its model."""
