"""A body in the pictures that show it: its shape and poses, from keypoints, masks and cameras."""
