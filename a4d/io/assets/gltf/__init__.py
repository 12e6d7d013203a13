"""Reading glTF 2.0 (.gltf and .glb): container, schema, accessors, surfaces, materials, animations, scene."""
