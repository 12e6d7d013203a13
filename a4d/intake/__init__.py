"""Taking things into a workspace: meshes as views, and views that are given with cameras."""
