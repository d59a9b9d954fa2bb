"""Judges of refusal for text: by rules, by a small classifier whose weights ship here, by a chat model."""
