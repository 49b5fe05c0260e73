"""Grids of cells, models x datasets of one benchmark, on SLURM or as local processes: `dynamic-vision grid --help`.

A cell is one call of the score command. It is submitted in a plain sbatch file that a user can keep and submit by
hand; nothing is pickled. Its shell passes the signal before the time limit on to the cell; a submitit job ignores it.
"""
