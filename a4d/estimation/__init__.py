"""Estimating what pictures do not say: depth, optical flow and features of their parts."""
