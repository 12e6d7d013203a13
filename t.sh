echo -8 > /proc/self/autogroup
export OMP_NUM_THREADS=1
.venv/bin/python -m pytest -n 0 -q tests/evaluation/test_following.py tests/objectives/test_score_distillation.py tests/recipes/test_sections.py tests/recipes/test_animate3d.py tests/recipes/test_signals.py 2>&1 | tail -8
