"""Step gate: is the candidate fit to be read?"""
