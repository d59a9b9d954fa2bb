"""Reads the responses of providers."""
