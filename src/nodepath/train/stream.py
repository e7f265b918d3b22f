"""Random numbers for one purpose in one epoch."""

import hashlib

import torch
from torch import Generator

__all__ = ["generator_for", "seed_for"]


def seed_for(purpose: str, seed: int, epoch: int) -> int:
    """A seed in [0, 2**63) that depends on all three, by SHA-256.

    Being no state carried from epoch to epoch, it makes a resumed training draw what an uninterrupted one draws.
    """
    digest = hashlib.sha256(f"{purpose}/{seed}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_for(purpose: str, seed: int, epoch: int) -> Generator:
    """A generator on the CPU, whatever the device, so that the device does not change what is drawn."""
    return torch.Generator(device="cpu").manual_seed(seed_for(purpose, seed, epoch))
