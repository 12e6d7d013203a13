"""Estimating what pictures do not say: depth, optical flow, features of their parts, and people."""
