"""Boxes of the field with real state behind real protocols. Tests ask them for the truth; contributors may too."""
