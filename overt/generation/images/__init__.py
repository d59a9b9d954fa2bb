"""Image targets, one file per provider. They do not judge responses."""
