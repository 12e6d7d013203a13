"""RAFT (Teed and Deng 2020): where the pixels of a picture are in another, by all pairs of them."""
