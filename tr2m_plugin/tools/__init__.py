"""The programs that `mim train` and `mim test` run."""
