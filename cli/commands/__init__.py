"""The commands of `ragmesh`, one file each. Each knows what a person asked for; the work itself lies beside them."""
