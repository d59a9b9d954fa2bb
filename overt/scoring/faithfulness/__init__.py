"""How much of a prompt its rewording keeps, by several measures; one file each."""
