"""Vectors that words begin with where there are too few labelled texts to learn them from nothing.

S. Deerwester, S. T. Dumais, G. W. Furnas, T. K. Landauer, R. Harshman, "Indexing by latent semantic analysis", Journal
of the American Society for Information Science 41, 1990: words that occur in the same texts get similar vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from applications.text.tokenizer import TextTokenizer


def semantic_vectors(ids: np.ndarray, tokenizer: TextTokenizer, dimensions: int) -> np.ndarray:
    """Returns a vector of length 1 for each token of the texts, zeros for special tokens and others.

    Args:
        ids: Token numbers of the training texts, (texts, length). Labels are not looked at.
        tokenizer: Their tokeniser.
        dimensions: Length of the vectors; those the texts do not suffice for are zero.

    Returns:
        (vocab_size, dimensions), float32.
    """
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    texts, places = np.nonzero(tokenizer.ordinary[ids])
    shape = (len(ids), tokenizer.vocab_size)
    counts = csr_matrix((np.ones(len(texts)), (texts, ids[texts, places])), shape=shape)
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    rank = min(dimensions, min(shape) - 1)
    vectors = np.zeros((tokenizer.vocab_size, dimensions), np.float32)
    if rank < 1:
        return vectors
    svd = TruncatedSVD(rank, random_state=0).fit(weights)
    vectors[:, :rank] = svd.components_.T * svd.singular_values_
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0).astype(np.float32)
