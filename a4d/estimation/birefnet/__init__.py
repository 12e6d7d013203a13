"""BiRefNet (Zheng et al. 2024): which part of a picture is its subject."""
