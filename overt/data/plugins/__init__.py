"""Names of models and classes of the user's own: taken apart, imported, checked."""
