echo -8 > /proc/self/autogroup
export OMP_NUM_THREADS=1
.venv/bin/python -m pytest -n 0 -q tests/recipes/test_animate124.py tests/recipes/test_animate3d.py tests/recipes/test_sections.py -x --durations=5 2>&1 | tail -30
