"""Targets that draw, one file per provider. What they get they hand over unjudged."""
