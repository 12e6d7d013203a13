"""Still Gaussians, and how their number adapts to what the views show."""
