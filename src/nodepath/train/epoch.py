"""What is known of one epoch."""

from dataclasses import asdict, dataclass

__all__ = ["EpochRecord"]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training.

    Attributes:
        epoch: Its number, from 1.
        train_loss: Mean of the loss over the images as they were trained on, augmented, while the weights moved.
        train_accuracy: Fraction right of the same forward passes.
        test_loss: Mean cross-entropy (without label smoothing) on the test split after the epoch.
        test_accuracy: Fraction right on the test split after the epoch.
        lr: Step size of the epoch's last step.
        seconds: Wall time of training and testing.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    seconds: float

    def to_dict(self) -> dict[str, int | float]:
        """The same, JSON-ready."""
        return asdict(self)
