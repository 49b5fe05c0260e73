"""Numbers to trust: intervals, p and q values, comparisons of models, shares of variance, profiles and leaderboards.

Arrays in, arrays out; the modules are imported one by one, so that those without torch stay light.
"""
