"""The extraction attacker: its pool, its queries, its surrogates, and how they are judged."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks._isolation import global_seed
from attacks._model import checked, logits_of, target_logits
from attacks._rates import rate
from attacks._sampling import fixed_sample
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._settings import Settings
from attacks.extraction._surrogate import art_classifier
from attacks.probe import Examples, Measurement, Target


class Thief:
    """Trains surrogates against one target; every one starts from the same weights."""

    def __init__(
        self,
        target: Target,
        pool: Examples,
        surrogate: Callable[[int], nn.Module],
        settings: Settings,
        *,
        seed: int,
    ) -> None:
        self._target, self._settings, self._seed, self._surrogate = target, settings, seed, surrogate
        self._pool = fixed_sample(pool, len(pool))
        self._answers = target_logits(target, target.test).argmax(dim=1)

    def untrained(self) -> nn.Module:
        """A fresh surrogate: what an attacker has without a query and without data."""
        with global_seed(self._seed, self._target.device):
            return self._surrogate(self._seed).to(self._target.device)

    def same_data(self, examples: int) -> nn.Module:
        """A surrogate trained on true labels of the attacker's own, without a query to the victim."""
        surrogate, settings = self.untrained(), self._settings
        x = self._inputs(examples)
        y = np.eye(self._target.num_classes, dtype=np.float32)[self._pool.y[:examples].cpu().numpy()]
        shape, classes = x.shape[1:], self._target.num_classes
        with global_seed(self._seed, self._target.device):
            art_classifier(surrogate, shape, classes, self._target.device, settings).fit(
                x, y, batch_size=settings.batch_size, nb_epochs=settings.passes(examples)
            )
        return surrogate

    def steal(self, attack: ExtractionAttack, queries: int) -> nn.Module:
        """A surrogate trained by an attack that may send the first ``queries`` inputs of the pool."""
        surrogate = self.untrained()
        theft = Theft(
            query=self._probabilities,
            x=self._inputs(queries),
            surrogate=surrogate,
            num_classes=self._target.num_classes,
            device=self._target.device,
            seed=self._seed,
        )
        attack.run(theft, self._settings)
        return surrogate

    def rows(self, attack: str, queries: int, surrogate: nn.Module, **more: int) -> list[Measurement]:
        """How often a surrogate agrees with the victim, and how often it is right, on the test examples.
        ``more``: further conditions."""
        at: dict[str, str | int | float] = {"attack": attack, "queries": queries, **more}
        test, device = self._target.test, self._target.device
        surrogate.eval()
        guesses = logits_of(surrogate, test.x, batch_size=self._target.batch_size, device=device).argmax(
            dim=1
        )
        return [
            rate("extraction_fidelity", guesses == self._answers, "agree", at),
            rate("surrogate_accuracy", guesses == test.y.cpu(), "correct", at),
        ]

    def _inputs(self, count: int) -> NDArray[np.float32]:
        inputs: NDArray[np.float32] = self._pool.x[:count].float().cpu().numpy()
        return inputs

    @torch.no_grad()
    def _probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The victim's interface. ART sees this function only, so it cannot touch the victim's module."""
        logits: Tensor = self._target.model(torch.from_numpy(x).to(self._target.device))
        answer: NDArray[np.float32] = checked(logits).double().softmax(dim=1).float().cpu().numpy()
        return answer
