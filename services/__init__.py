"""The services of the mesh. Each imports `services.mesh` and the generated stubs, never another service."""
