"""How the small frozen networks that come with the package were made: `make pretrain` makes them again."""
