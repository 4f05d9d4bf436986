"""The `ragmesh` command: a client of the gateway like any other."""
