"""One file per format; every foreign convention is converted here and nowhere else."""
