"""TripoSR (Tochilkin et al. 2024): a picture to three planes of features, which say density and colour at any point."""
