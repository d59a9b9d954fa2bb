"""Measures of how much of a prompt its rewording keeps, one file each."""
