"""What a terminal says of a training."""

from pericia.terminal.training import trained_lines
from pericia.types import Adapter


def shown(best_loss: float) -> str:
    losses = [{"step": 0, "loss": 2.5}, {"step": 40, "loss": best_loss}, {"step": 60, "loss": 3.0}]
    manifest = {"validation_losses": losses, "best_step": 40, "learning_rate": 2.4e-3}
    adapter = Adapter("fine-tuned-1", "/x", "pericia-nano", "fine_tuned", manifest)
    return "\n".join(trained_lines([adapter]))


def test_a_training_shows_its_losses_and_the_rate_that_was_taken() -> None:
    assert "validation loss 2.500 before, 0.700 after, learning rate 0.0024" in shown(0.7)
    assert "no better than before" not in shown(0.7)


def test_a_training_that_only_made_it_worse_is_said() -> None:
    assert "On the rows held out it is no better than before" in shown(2.6)
