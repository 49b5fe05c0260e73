"""Many cells of one script - models x datasets - on SLURM or side by side on this machine: `python -m src.grid --help`.

Plain sbatch files are submitted: the file that a user can keep is the file that runs, its shell hears the signal before
the time limit (a submitit job ignores SIGTERM), and nothing must be pickled or installed.
"""
