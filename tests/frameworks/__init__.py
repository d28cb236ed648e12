"""Programs over other packages: rooms of a package, since others have modules of such names."""
