"""What the local pages share: who may come in, and how they are served."""
