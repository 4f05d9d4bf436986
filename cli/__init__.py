"""The `ragmesh` command: a client of the gateway like any other."""

import os

# gRPC's C core tells a terminal about every connection that a service ends, unless it is told before to keep to errors.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
