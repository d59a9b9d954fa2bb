"""What is allowed: the policy schema, the loader, the floor, and the shipped policies."""
