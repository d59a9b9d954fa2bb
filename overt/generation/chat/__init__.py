"""Chat models, one provider per file."""
