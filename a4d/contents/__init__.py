"""What a workspace holds, as the library's objects: frames, assets, subjects of exports, shapes to compare."""
