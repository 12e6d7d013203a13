"""Pictures: reading to sRGB with straight alpha, and writing."""
