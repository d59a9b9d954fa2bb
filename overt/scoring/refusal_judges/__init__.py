"""Refusal judges for text: rules, a small shipped classifier, a chat model."""
