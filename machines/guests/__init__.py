"""Guests that come with the package: small kernels in assembly, assembled when asked for."""
