"""Models of several networks, each with its own optimiser: schedules, plateau, history and NaN reach all of them."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from applications.core import optimization
from applications.core.callbacks import BestWeights, Plateau, learning_rates
from applications.core.cluster import Cluster
from applications.core.errors import UserError
from applications.core.signals import Signals
from applications.core.stopping import Stop, StopOnNaN
from applications.image_classification import ImageClassification


class Duel(keras.Model):
    """Two networks with an optimiser each."""

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **execution):
        super().compile(optimizer=None, **execution)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer


@pytest.fixture
def duel() -> Duel:
    model = Duel()
    options = optimization.OptimizerOptions()
    names = optimization.optimizer_names(model)
    model.compile(**{name: optimization.make_optimizer("adam", 0.1, options) for name in names})
    return model


def rates(model: Duel) -> list[float]:
    return [float(optimizer.learning_rate) for optimizer in (model.generator_optimizer, model.discriminator_optimizer)]


def test_one_optimizer_for_each_name_in_compile(duel):
    assert optimization.optimizer_names(duel) == ["generator_optimizer", "discriminator_optimizer"]
    assert optimization.optimizer_names(keras.Sequential()) == []
    assert duel.generator_optimizer is not duel.discriminator_optimizer


@pytest.mark.parametrize(("option", "default", "expected"), [(None, 0.9, 0.9), (None, 0.5, 0.5), (0.3, 0.5, 0.3)])
def test_the_paper_says_beta_1_unless_the_user_does(option, default, expected):
    options = optimization.OptimizerOptions(beta_1=option)
    for name in ("adam", "adamw"):
        assert optimization.make_optimizer(name, 0.1, options, default_beta_1=default).beta_1 == expected


def test_a_plateau_reduces_and_warms_up_all(duel):
    plateau = Plateau(monitor="val_loss", mode="min", factor=0.5, patience=1, warmup_batches=2)
    plateau.set_model(duel)
    plateau.on_train_begin()
    plateau.on_train_batch_begin(0)
    assert rates(duel) == pytest.approx([0.05, 0.05])
    for optimizer in (duel.generator_optimizer, duel.discriminator_optimizer):
        optimizer.learning_rate.assign(0.1)
    for epoch in range(2):
        logs = {"val_loss": 1.0}
        plateau.on_epoch_end(epoch, logs)
        assert set(logs) <= {"val_loss", "learning_rate"}, "names that Keras numbers through have no place in a history"
    assert rates(duel) == pytest.approx([0.05, 0.05])


def test_the_history_has_a_rate_for_each(duel):
    duel.discriminator_optimizer.learning_rate.assign(0.2)
    found = {name: float(rate) for name, rate in learning_rates(duel).items()}
    assert found == pytest.approx({"discriminator_learning_rate": 0.2, "generator_learning_rate": 0.1})


@pytest.mark.parametrize(
    ("logs", "culprit"),
    [
        ({"loss": np.nan}, "loss"),
        ({"generator_loss": 1.0, "discriminator_loss": np.inf}, "discriminator loss"),
        ({"generator_loss": np.nan, "discriminator_loss": np.nan}, "generator loss and discriminator loss"),
        ({"generator_loss": 1.0, "accuracy": np.nan}, None),
    ],
)
def test_nan_is_told_as_that_of_its_network(logs, culprit):
    stop = Stop(Signals(), Cluster())
    callback = StopOnNaN(stop)
    callback.set_model(keras.Sequential())
    callback.on_train_batch_end(0, logs)
    assert stop.wish == (None if culprit is None else "nan")
    assert culprit is None or stop.culprit == culprit


@pytest.mark.parametrize("culprit", ["generator", "discriminator"])
def test_the_network_that_diverged_is_told_from_the_one_it_spoils(culprit):
    import kerazoo

    model = kerazoo.pix2pix((8, 8, 1), 1, filters=2, depth=2, discriminator_filters=2, discriminator_layers=1)
    model.compile()
    weight = getattr(model, culprit).trainable_weights[0]
    weight.assign(np.full(weight.shape, np.nan))
    x = np.zeros((2, 8, 8, 1), "float32")
    stop = Stop(Signals(), Cluster())
    model.fit(x, x, batch_size=2, verbose=0, callbacks=[StopOnNaN(stop)])
    assert (stop.wish, stop.culprit) == ("nan", culprit)


class Unjudged(ImageClassification):
    """A task whose validation loss says nothing."""

    monitor = ("", "")


@pytest.mark.parametrize(("options", "named"), [({"schedule": "plateau"}, "plateau"), ({"k_folds": 3}, "k_folds")])
def test_without_a_validation_loss_nothing_may_ask_for_it(options, named):
    Unjudged().check()
    with pytest.raises(UserError, match=named):
        Unjudged(**options).check()


def test_without_a_validation_loss_the_last_weights_count():
    best = BestWeights(*Unjudged.monitor)
    best.set_model(SimpleNamespace())
    best.on_epoch_end(0, {"val_loss": 0.1})
    assert best.weights is None
