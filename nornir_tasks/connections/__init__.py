"""Nornir connection plugins: how an enforcement point is reached. They hold the secrets, and let none out."""
