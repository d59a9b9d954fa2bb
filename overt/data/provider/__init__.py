"""What a provider said: one vocabulary, one reader."""
