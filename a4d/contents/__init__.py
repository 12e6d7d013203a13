"""What a workspace holds, as the library's objects: frames, assets, subjects and files of exports, shapes to compare."""
