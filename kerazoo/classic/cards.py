"""Cards of the classic networks."""

from __future__ import annotations

from kerazoo.card import ModelCard, Sample, Tensor

CARDS = (
    ModelCard(
        name="perceptron",
        family="perceptron",
        kind="vector",
        task="classification",
        module="kerazoo.classic.perceptron",
        title="The perceptron: a probabilistic model for information storage and organization in the brain",
        authors="F. Rosenblatt",
        year=1958,
        paper_url="https://doi.org/10.1037/h0042519",
        summary="One layer of threshold units, trained by adding or subtracting the inputs it got wrong.",
        input_shape=(784,),
        num_outputs=10,
        input_range="[0, 1] or [-1, 1]",
        params=7_850,
        trainable_params=7_850,
        flops=15_680,
        params_source="(784 + 1) * 10",
        custom_objects=True,
        rule_trained=True,
        sample=Sample(inputs=Tensor((12,), low=-1.0), targets=Tensor((), "int32", 0, 5), loss=None),
        test_config={"input_shape": (12,), "num_outputs": 5},
        deviations=(
            "Only the trainable layer; the paper's fixed random association units are left out.",
            "The error-correction rule is that of Rosenblatt's later convergence theorem.",
        ),
    ),
    ModelCard(
        name="mlp",
        family="mlp",
        kind="vector",
        task="classification",
        module="kerazoo.classic.mlp",
        title="Learning representations by back-propagating errors",
        authors="D. E. Rumelhart, G. E. Hinton, R. J. Williams",
        year=1986,
        paper_url="https://doi.org/10.1038/323533a0",
        summary="Dense layers with non-linear hidden units, trained by back-propagation.",
        input_shape=(784,),
        num_outputs=10,
        input_range="about zero mean and unit spread, or [0, 1]",
        params=266_610,
        trainable_params=266_610,
        flops=532_400,
        params_source="sum of (n_in + 1) * n_out over 784-300-100-10",
        sample=Sample(inputs=Tensor((12,)), targets=Tensor((), "int32", 0, 5)),
        test_config={"input_shape": (12,), "num_outputs": 5, "hidden_units": (16, 8)},
        deviations=(
            "The paper names no fixed size: 784-300-100-10 is the comparison network of LeCun et al. (1998).",
            "The output is a softmax, trained by cross-entropy; the paper has sigmoids and squared error.",
        ),
    ),
)
