"""Avatars: Gaussians on a body's texture, what they look like, and the poses that move them."""
