"""The engine: reads a point's lines, drives them to where they should be, in waves, journaled, and stops by itself."""
