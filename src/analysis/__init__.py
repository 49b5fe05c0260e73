"""Statistics of scores: aggregates, intervals, p and q values, comparisons, variance partitioning, leaderboards.

Functions of arrays. The modules are imported one by one, so that those without torch load quickly.
"""
