"""The coordinator: sessions of unattended robots on this machine."""
