"""Everything that makes: prompts, rewrites, images, and the models that make them."""
