"""Real handwritten digits that come with scikit-learn."""

import tensorflow_datasets as tfds


class Digits(tfds.core.GeneratorBasedBuilder):
    """1797 real handwritten digits, 8 x 8 pixels, values 0 to 16."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Real handwritten digits of the UCI optical recognition data set, from scikit-learn.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI (1998).",
            disable_shuffling=True,  # Sample i stays scikit-learn's sample i.
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}  # Split later, by seed and fractions.

    def _generate_examples(self):
        from sklearn.datasets import load_digits

        digits = load_digits()
        for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            yield index, {"image": image.astype("uint8")[..., None], "label": int(label)}
