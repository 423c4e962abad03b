"""What a debt means today: pure rules, and the same rules as set-based SQL."""
