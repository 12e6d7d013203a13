"""a4d: composable stages that turn an image, a text, a mesh or a video into a 3D or animated asset."""

__version__ = "0.1.0"
