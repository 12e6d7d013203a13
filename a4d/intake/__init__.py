"""Taking things into a workspace: pictures, films, meshes, captures, people, and the cameras of each."""
