"""Knockoff nets: train a copy on the victim's answers to unlabelled inputs (Orekondy et al. 2019).

The training is the Adversarial Robustness Toolbox's ``KnockoffNets`` with random sampling, given what it
silently needs: a victim that answers with probabilities (trained on raw logits as if they were soft labels,
copies stay at chance), and batches larger than its default of one.
"""

from attacks._isolation import global_seed
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._settings import Settings
from attacks.extraction._surrogate import art_classifier


def knockoff(theft: Theft, settings: Settings) -> None:
    """Query the victim once for every input of the budget and train the surrogate on its probabilities."""
    # Imported here: it takes seconds, which a command that attacks nothing should not pay.
    from art.attacks.extraction import KnockoffNets
    from art.estimators.classification import BlackBoxClassifier

    shape = theft.x.shape[1:]
    thief = art_classifier(theft.surrogate, shape, theft.num_classes, theft.device, settings)
    attack = KnockoffNets(
        BlackBoxClassifier(theft.query, input_shape=shape, nb_classes=theft.num_classes),
        batch_size_fit=settings.batch_size,
        batch_size_query=max(settings.batch_size, 256),
        nb_epochs=settings.passes(len(theft.x)),
        nb_stolen=len(theft.x),
        sampling_strategy="random",
        use_probability=True,
        verbose=False,
    )
    with global_seed(theft.seed, theft.device):
        attack.extract(theft.x, thieved_classifier=thief)


ATTACK = ExtractionAttack(
    knockoff, paper="Orekondy et al. 2019, Knockoff nets: stealing functionality of black-box models"
)
