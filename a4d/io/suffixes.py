"""The names that pictures and films bear; what a file is, its content says."""

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
    | {".avif", ".heic", ".heif"}
)
"""Of still pictures."""

FILM_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf", ".flv", ".f4v"}
    | {".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".m2ts", ".mts", ".mxf", ".gxf", ".dv", ".ogv", ".ogm", ".rm", ".rmvb"}
    | {".mjpg", ".mjpeg", ".y4m", ".ivf", ".nut", ".wtv", ".gif", ".apng"}
)
"""Of moving pictures."""
