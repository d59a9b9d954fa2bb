"""Parses the names of models, and imports and checks the classes of users."""
