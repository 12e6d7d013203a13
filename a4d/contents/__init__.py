"""What a workspace holds, as the library's objects: frames, assets, exports and their subjects, shapes to compare."""
