"""Text out of a trained language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras

    from applications.text.tokenizer import TextTokenizer


def write_on(
    model: keras.Model, tokenizer: TextTokenizer, prompt: str, max_new_tokens: int, *, seed: int | None, **how: Any
) -> str:
    """Returns what a model writes behind a prompt.

    Where the text becomes longer than the context of a GPT, it goes on from its last half.

    Args:
        model: A GPT, or a recurrent language model.
        tokenizer: Its tokeniser.
        prompt: What the text begins with.
        max_new_tokens: Number of tokens to be written.
        seed: Of the draws.
        how: `temperature`, `top_k` and `top_p` of `kerazoo.generate`.

    Returns:
        The new text, without the prompt.

    Raises:
        UserError: The prompt is empty or has unknown characters, or a number cannot work.
    """
    import kerazoo

    if not prompt:
        raise UserError("prompt: expected some text, received none.")
    strangers = tokenizer.unknown_characters(prompt)
    if strangers:
        named = ", ".join(map(repr, strangers[:5]))
        raise UserError(f"prompt: the run's tokeniser does not know {named}, which the training text does not have.")
    ids, new = tokenizer.encode(prompt), list[int]()
    try:
        endless = kerazoo.generation.stepper_of(model).max_new_tokens is None
        length = 1 << 62 if endless else model.input_shape[1]
        while len(new) < max_new_tokens:
            known = [*ids, *new]
            if len(known) >= length:
                known = known[-max(1, length // 2) :]
            count = min(max_new_tokens - len(new), length - len(known))
            chunk_seed = None if seed is None else seed + len(new)
            new += kerazoo.generate(model, known, max_new_tokens=count, seed=chunk_seed, **how).tolist()
    except ValueError as error:
        raise UserError(f"{error}.".replace("..", ".")) from error
    return tokenizer.decode(new)
