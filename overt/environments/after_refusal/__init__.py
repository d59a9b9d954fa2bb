"""`after-refusal`: does a refusal linger in the conversation?"""
